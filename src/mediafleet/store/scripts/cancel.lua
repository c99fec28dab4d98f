-- Cancels a job, or sweeps the open tasks of one that ended another way; in pieces of A.piece tasks.
-- A: job, cursor (0 to begin), piece, sweep = the job has ended already, data (JSON for the event)
-- Returns {status = before, cursor = of the next piece, 0 at the end, stops = [{task, grant, executor}]}.
-- @include base
-- @include state
-- @include queue
-- @include job
-- @include capacity
-- @include attempt
local key = P .. 'job:' .. A.job
local status = redis.call('HGET', key, 'status')
local stops = {}
if not status or (A.cursor == 0 and not A.sweep and FINAL_STATUS[status]) then
  return cmsgpack.pack({status = status or '', cursor = 0, stops = {}})
end
if A.cursor == 0 and not A.sweep then
  close_job(A.job, 'cancelled', 'stage', '', A.data)
  redis.call('HINCRBY', key, 'version', 1)
end

local function end_task(id)
  local task = P .. 'task:' .. id
  local t = redis.call('HMGET', task, 'state', 'queue', 'tenant')
  local state = after(t[1], 'cancel')
  if not state then return end
  if t[1] == 'NEW' then unqueue(id, t[2], t[3]) end
  revoke_others(id, '', stops)
  redis.call('HSET', task, 'state', state, 'grant', '')
  redis.call('DEL', task .. ':children')
  redis.call('HINCRBY', key, 'open', -1)
end

local ids = redis.call('LRANGE', key .. ':tasks', A.cursor, A.cursor + A.piece - 1)
for _, id in ipairs(ids) do end_task(id) end
local cursor = #ids == A.piece and A.cursor + A.piece or 0
if cursor == 0 then redis.call('ZREM', P .. 'dirty', A.job) end
return cmsgpack.pack({status = status, cursor = cursor, stops = stops})
