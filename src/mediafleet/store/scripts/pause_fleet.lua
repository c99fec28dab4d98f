-- Pauses the fleet, or lets it go on: one key, which each placing call reads with what it reads anyway, so that it holds at once
-- for all instances, all nodes that come, and all that is submitted. What runs finishes, or is stopped by the reaper.
-- A: paused, stop = running attempts are stopped as well
-- Returns {paused, since_ms (0 where it is not paused), now}.
-- @include base events scores
-- @include relief
local key = P .. 'paused'
local before = redis.call('GET', key)
if A.paused then
  local since = before and string.match(before, '^%d+') or string.format('%.0f', NOW)
  local was_now = before and string.match(before, '|now$') ~= nil
  local now = A.stop or was_now or false
  redis.call('SET', key, since .. (now and '|now' or '|soft'))
  if A.stop then set_score(P .. 'due', 'stop-fleet|0', NOW) end
  if not before then emit('fleet.paused', 'node', '', '{"now":' .. tostring(A.stop) .. '}') end
  return reply({paused = true, since_ms = tonumber(since), now = now})
end
redis.call('DEL', key)
drop_score(P .. 'due', 'stop-fleet|0')
if before then emit('fleet.resumed', 'node', '') end
return reply({paused = false, since_ms = 0, now = false})
