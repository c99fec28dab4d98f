-- Turns reservations into running work: the nodes said that they have it.
-- A: nodes = [{node, epoch, attempts = [{task, grant}]}]
-- Returns {stops = [{task, grant, executor}]}: attempts that the node must end, since they are not theirs any more.
-- @include base
-- @include state
-- @include queue
-- @include job
-- @include capacity
-- @include attempt
local stops = {}

local function start_job(job)
  local status = redis.call('HGET', P .. 'job:' .. job, 'status')
  if status ~= 'pending' and status ~= 'uploading' then return end
  set_status(job, 'processing')
  redis.call('HSETNX', P .. 'job:' .. job, 'started', NOW)
  emit('job.started', 'job', job, '{"status":"processing"}')
end

local function commit(attempt)
  local key = P .. 'task:' .. attempt.task
  local standing, executor = read_grant(attempt.task, attempt.grant)
  if standing == 'running' then return true end
  if standing ~= 'reserved' then return false, executor end
  local t = redis.call('HMGET', key, 'state', 'job', 'total_ms')
  local state = after(t[1], 'ack')
  if not state then return false, executor end
  redis.call('HSET', key, 'state', state, 'grant:' .. attempt.grant, 'running|' .. executor)
  redis.call('ZREM', P .. 'due', 'reserve|' .. attempt.task .. '|' .. attempt.grant)
  local total = tonumber(t[3])
  if total > 0 then
    redis.call('ZADD', P .. 'due', NOW + total, 'deadline|' .. attempt.task .. '|' .. attempt.grant)
  end
  start_job(t[2])
  return true
end

for _, group in ipairs(A.nodes) do
  local current = redis.call('HGET', P .. 'node:' .. group.node, 'epoch') == tostring(group.epoch)
  for _, attempt in ipairs(group.attempts) do
    local kept, executor = false, nil
    if current then kept, executor = commit(attempt) end
    if not kept then
      stops[#stops + 1] = {task = attempt.task, grant = attempt.grant, executor = executor or group.node .. '/'}
    end
  end
end
return cmsgpack.pack({stops = stops})
