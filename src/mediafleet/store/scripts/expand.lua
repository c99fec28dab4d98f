-- Applies what a plan returned, only at the job version that it was computed from.
-- A: job, version, outcome_of, tasks = [see create_task] (at most 256), last = no further piece follows,
--    outcome = {status, field, text, data} or nil, queues
-- Returns {applied, queues = [touched]}.
-- @include base
-- @include queue
-- @include job
-- @include task
local key = P .. 'job:' .. A.job
local about = redis.call('HMGET', key, 'version', 'status')
if about[1] ~= tostring(A.version) or FINAL_STATUS[about[2]] then
  return cmsgpack.pack({applied = false, queues = {}})
end
create_queues()
for _, task in ipairs(A.tasks) do
  if create_task(task) then
    redis.call('HINCRBY', key, 'open', 1)
    redis.call('HINCRBYFLOAT', key, 'weight', task.weight)
  end
end
if A.last then
  redis.call('HSET', key, 'outcome_of', A.outcome_of)
  redis.call('ZREM', P .. 'dirty', A.job)
  if A.outcome then
    for _, artifact in ipairs(A.outcome.outputs) do redis.call('SADD', P .. 'job:' .. A.job .. ':outputs', artifact) end
    close_job(A.job, A.outcome.status, A.outcome.field, A.outcome.text, A.outcome.data)
  end
end
return cmsgpack.pack({applied = true, queues = touched_queues()})
