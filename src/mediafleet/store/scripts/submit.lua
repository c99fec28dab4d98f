-- Accepts jobs with the tasks of their first plan: all of them, or none.
-- A: jobs = [{id, kind, key (idempotency, '' for none), doc, tenant, created (ms), retention_ms, deadline (ms), outcome_of,
--     inputs = [artifact ids], after = [ids of jobs, also of earlier ones of the call], weight, batch (or ''), tasks = [see create_task]}], queues = {queue id: doc},
--   bounds (see bounds.lua), coming (see coming.lua; without jobs, room is asked for and kept)
-- Returns {missing = artifact id or nil, unknown = id of a job to wait for or nil,
--   full = a bound that does not hold (see find_full) or nil,
--   jobs = [{id, created, after, awaits (ids with spaces between them, where it waits for jobs)}], queues = [touched]}.
-- @include base events scores record rule names queue held admit counts missing task deadline coming bounds inputs follow named
local function accept(job, first)
  if first then return {id = first, created = false} end
  if job.key ~= '' then redis.call('SET', P .. 'idem:' .. job.tenant .. ':' .. job.key, job.id) end
  local uploads = bind_inputs(job)
  local status = uploads > 0 and 'uploading' or 'pending'
  local awaits = job.after[1] and follow(job.id, job.after) or ''
  local count, _, is_graph = create_tasks(job.id, job.tasks, true, awaits ~= '')
  local fields = {'doc', job.doc, 'rule', pack_job_rule(job), 'status', status, 'version', '1', 'open', count,
    'outcome_of', job.outcome_of, 'weight', job.weight}
  if job.batch ~= '' then
    add_pair(fields, 'batch', job.batch)
    set_score(P .. 'batch:' .. job.batch, job.id, job.created)
  end
  if is_graph then add_pair(fields, 'graph', '1') end
  if job.key ~= '' then add_pair(fields, 'key', job.key) end
  if uploads > 0 then add_pair(fields, 'uploads', uploads) end
  local after = job.after[1] and table.concat(job.after, ' ') or nil
  if after then add_pair(fields, 'after', after) end
  if awaits ~= '' then add_pair(fields, 'awaits', awaits) end
  redis.call('HSET', P .. 'job:' .. job.id, unpack(fields))
  set_deadline(job.id, job.deadline)
  set_score(P .. 'jobs', job.id, job.created)
  set_score(P .. 'kind:' .. job.kind, job.id, job.created)
  set_score(P .. 'jobs:' .. status, job.id, job.created)
  if count == 0 and awaits == '' then set_score(P .. 'dirty', job.id, NOW) end
  emit('job.accepted', 'job', job.id, '{"status":"' .. status .. '"}')
  return {id = job.id, created = true, after = after, awaits = after and awaits}
end

local known, accepted = find_known(), {}
resolve_after(known)
local missing, unknown = find_missing(known), find_unknown(known)
local full = not missing and not unknown and find_full(known) or nil
if missing or unknown or full then
  return cmsgpack.pack({missing = missing, unknown = unknown, full = full, jobs = {}, queues = {}})
end
create_queues()
keep_room()
for position, job in ipairs(A.jobs) do accepted[position] = accept(job, known[position]) end
return reply({jobs = accepted, queues = touched_queues})
