-- Accepts jobs with the tasks of their first plan: all of them, or none.
-- A: jobs = [{id, kind, key (idempotency, '' for none), doc, tenant, created, retention_ms, outcome_of, inputs = [artifact ids],
--     weight, tasks = [see create_task]}], queues = {queue id: doc}
-- Returns {missing = artifact id or nil, jobs = [{id, created}], queues = [touched]}.
-- @include base
-- @include queue
-- @include job
-- @include task
create_queues()

local function find_missing()
  for _, job in ipairs(A.jobs) do
    for _, artifact in ipairs(job.inputs) do
      if redis.call('EXISTS', P .. 'artifact:' .. artifact) == 0 then return artifact end
    end
  end
end

local function bind_inputs(job)
  local status = 'pending'
  for _, artifact in ipairs(job.inputs) do
    redis.call('SADD', P .. 'artifact:' .. artifact .. ':jobs', job.id)
    redis.call('ZREM', P .. 'due', 'artifact|' .. artifact)
    if redis.call('HGET', P .. 'artifact:' .. artifact, 'state') == 'open' then status = 'uploading' end
  end
  return status
end

local function accept(job)
  if job.key ~= '' then
    local name = P .. 'idem:' .. job.tenant .. ':' .. job.key
    local first = redis.call('GET', name)
    if first then return {id = first, created = false} end
    redis.call('SET', name, job.id)
  end
  local status = bind_inputs(job)
  redis.call('HSET', P .. 'job:' .. job.id, 'doc', job.doc, 'status', status, 'created', job.created, 'version', 1,
    'open', #job.tasks, 'outcome_of', job.outcome_of, 'retention_ms', job.retention_ms, 'weight', job.weight,
    'key', job.key, 'tenant', job.tenant, 'kind', job.kind)
  redis.call('ZADD', P .. 'jobs', job.created, job.id)
  redis.call('ZADD', P .. 'kind:' .. job.kind, job.created, job.id)
  redis.call('ZADD', P .. 'jobs:' .. status, job.created, job.id)
  for _, task in ipairs(job.tasks) do create_task(task) end
  if #job.tasks == 0 then redis.call('ZADD', P .. 'dirty', NOW, job.id) end
  emit('job.accepted', 'job', job.id, '{"status":"' .. status .. '"}')
  return {id = job.id, created = true}
end

local missing = find_missing()
if missing then return cmsgpack.pack({missing = missing, jobs = {}, queues = {}}) end
local accepted = {}
for index, job in ipairs(A.jobs) do accepted[index] = accept(job) end
return cmsgpack.pack({jobs = accepted, queues = touched_queues()})
