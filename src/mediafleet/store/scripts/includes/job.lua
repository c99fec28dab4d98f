-- A job's status is mirrored in one index a status, by time of creation.
local FINAL_STATUS = {completed = true, failed = true, cancelled = true}

local function set_status(job, status)
  local key = P .. 'job:' .. job
  local old = redis.call('HMGET', key, 'status', 'created')
  if not old[1] or old[1] == status then return false end
  redis.call('HSET', key, 'status', status)
  redis.call('ZREM', P .. 'jobs:' .. old[1], job)
  redis.call('ZADD', P .. 'jobs:' .. status, old[2], job)
  return true
end

-- Ends a job. Tasks that are still open are swept by whoever finds the job in `dirty`.
local function close_job(job, status, field, text, data)
  local key = P .. 'job:' .. job
  set_status(job, status)
  redis.call('HSET', key, 'finished', NOW, field, text)
  if status == 'completed' then redis.call('HSET', key, 'progress', 1, 'stage', '') end
  redis.call('ZADD', P .. 'due', NOW + redis.call('HGET', key, 'retention_ms'), 'job|' .. job)
  if tonumber(redis.call('HGET', key, 'open')) > 0 then
    redis.call('ZADD', P .. 'dirty', NOW, job)
  else
    redis.call('ZREM', P .. 'dirty', job)
  end
  emit('job.' .. status, 'job', job, data)
end

-- A task became final: its job's plan must look again, unless the job closes by itself.
local function count_down(job, outcome)
  local key = P .. 'job:' .. job
  local open = redis.call('HINCRBY', key, 'open', -1)
  redis.call('HINCRBY', key, 'version', 1)
  local about = redis.call('HMGET', key, 'status', 'outcome_of')
  if FINAL_STATUS[about[1]] then return end
  if about[2] == '' then
    redis.call('ZADD', P .. 'dirty', NOW, job)
  elseif outcome.error then
    close_job(job, 'failed', 'error', outcome.error, outcome.error)
  elseif open == 0 then
    local result = outcome.result
    if about[2] ~= outcome.name then result = redis.call('HGET', P .. 'task:' .. job .. '.' .. about[2], 'result') end
    close_job(job, 'completed', 'result', result)
  end
end

-- A job's progress is the weighted mean of its tasks' fractions, kept by difference.
local function set_fraction(task, job, fraction)
  local key = P .. 'task:' .. task
  local old = redis.call('HMGET', key, 'fraction', 'weight')
  local change = (fraction - tonumber(old[1] or '0')) * tonumber(old[2] or '1')
  if change == 0 then return end
  redis.call('HSET', key, 'fraction', fraction)
  local about = redis.call('HMGET', P .. 'job:' .. job, 'weight', 'done_weight')
  local done = tonumber(about[2] or '0') + change
  redis.call('HSET', P .. 'job:' .. job, 'done_weight', done, 'progress', done / math.max(tonumber(about[1] or '1'), 1e-9))
end
