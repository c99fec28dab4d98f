-- Gives a failed or cancelled job another go: what is DONE stays, the rest begins anew.
-- A: job, cursor (0 to begin), piece
-- Returns {status = before, cursor = of the next piece, 0 at the end, queues = [touched]}.
-- @include base
-- @include state
-- @include queue
-- @include job
-- @include task
local key = P .. 'job:' .. A.job
local status = redis.call('HGET', key, 'status')
if A.cursor == 0 then
  if status ~= 'failed' and status ~= 'cancelled' then
    return cmsgpack.pack({status = status or '', cursor = 0, queues = {}})
  end
  set_status(A.job, 'pending')
  redis.call('HDEL', key, 'error', 'finished', 'eta_ms', 'speed')
  redis.call('HSET', key, 'stage', '')
  redis.call('HINCRBY', key, 'version', 1)
  redis.call('ZREM', P .. 'due', 'job|' .. A.job)
  emit('job.revived', 'job', A.job, '{"status":"pending"}')
end

local function count_missing(t)
  local missing = 0
  for parent in string.gmatch(t, '%S+') do
    if redis.call('HGET', P .. 'task:' .. parent, 'state') ~= 'DONE' then
      missing = missing + 1
    end
  end
  return missing
end

local function revive(id)
  local task = P .. 'task:' .. id
  local t = redis.call('HMGET', task, 'state', 'queue', 'tenant', 'score', 'after')
  local state = after(t[1], 'revive')
  if not state then return end
  local deps = count_missing(t[5] or '')
  redis.call('HSET', task, 'state', state, 'tries', 0, 'excluded', '', 'deps', deps)
  redis.call('HDEL', task, 'error')
  for parent in string.gmatch(t[5] or '', '%S+') do
    if deps > 0 then redis.call('SADD', P .. 'task:' .. parent .. ':children', id) end
  end
  set_fraction(id, A.job, 0)
  redis.call('HINCRBY', key, 'open', 1)
  if deps == 0 then enqueue(id, t[2], t[3], t[4]) end
end

local ids = redis.call('LRANGE', key .. ':tasks', A.cursor, A.cursor + A.piece - 1)
for _, id in ipairs(ids) do revive(id) end
local cursor = #ids == A.piece and A.cursor + A.piece or 0
if cursor == 0 then redis.call('ZADD', P .. 'dirty', NOW, A.job) end
return cmsgpack.pack({status = status, cursor = cursor, queues = touched_queues()})
