-- Accepts jobs with the tasks of their first plan: all of them, or none.
-- A: jobs = [{id, kind, key (idempotency, '' for none), doc, tenant, created (ms), retention_ms, deadline (ms), outcome_of,
--     inputs = [artifact ids], weight, tasks = [see create_task]}], queues = {queue id: doc},
--   bounds (see bounds.lua)
-- Returns {missing = artifact id or nil, full = a bound that does not hold (see find_full) or nil,
--   jobs = [{id, created}], queues = [touched]}.
-- @include base events scores record rule names queue admit counts missing task deadline bounds
local known = find_known()

-- A repeated submission is answered even if its inputs are gone by now.
local function find_missing()
  for position, job in ipairs(A.jobs) do
    for _, artifact in ipairs(known[position] and {} or job.inputs) do
      if redis.call('EXISTS', P .. 'artifact:' .. artifact) == 0 then return artifact end
    end
  end
end

-- Returns how many inputs are still being uploaded; those keep their time limit.
local function bind_inputs(job)
  local uploads = 0
  for _, artifact in ipairs(job.inputs) do
    local is_new = redis.call('SADD', P .. 'artifact:' .. artifact .. ':jobs', job.id) == 1
    if redis.call('HGET', P .. 'artifact:' .. artifact, 'state') ~= 'open' then
      drop_score(P .. 'due', 'artifact|' .. artifact)
    elseif is_new then
      uploads = uploads + 1
    end
  end
  return uploads
end

local function accept(job, first)
  if first then return {id = first, created = false} end
  if job.key ~= '' then redis.call('SET', P .. 'idem:' .. job.tenant .. ':' .. job.key, job.id) end
  local uploads = bind_inputs(job)
  local status = uploads > 0 and 'uploading' or 'pending'
  local count, _, is_graph = create_tasks(job.id, job.tasks, true)
  local fields = {'doc', job.doc, 'rule', pack_job_rule(job), 'status', status, 'version', '1', 'open', count,
    'outcome_of', job.outcome_of, 'weight', job.weight}
  if is_graph then add_pair(fields, 'graph', '1') end
  if job.key ~= '' then add_pair(fields, 'key', job.key) end
  if uploads > 0 then add_pair(fields, 'uploads', uploads) end
  redis.call('HSET', P .. 'job:' .. job.id, unpack(fields))
  set_deadline(job.id, job.deadline)
  set_score(P .. 'jobs', job.id, job.created)
  set_score(P .. 'kind:' .. job.kind, job.id, job.created)
  set_score(P .. 'jobs:' .. status, job.id, job.created)
  if count == 0 then set_score(P .. 'dirty', job.id, NOW) end
  emit('job.accepted', 'job', job.id, '{"status":"' .. status .. '"}')
  return {id = job.id, created = true}
end

local missing, accepted = find_missing(), {}
local full = not missing and find_full(known) or nil
if missing or full then return cmsgpack.pack({missing = missing, full = full, jobs = {}, queues = {}}) end
create_queues()
for position, job in ipairs(A.jobs) do accepted[position] = accept(job, known[position]) end
return reply({jobs = accepted, queues = touched_queues})
