-- A node's link is closed. Its executors leave their pools at once; its lease goes on, so that what it
-- runs stays its own until it comes back or the lease ends; live work only until live_grace_ms have passed (live.lua).
-- A goodbye ends the lease now.
-- A: node, epoch, goodbye, retention_ms, live_grace_ms, orphan = only if the node's instance is gone, lead = nil, or
--    {instance, epoch} where it is done as the leader
-- Returns {current = the epoch was the latest one, lost = count, queues = [touched]}.
-- @include base events scores state record rule names queue held counts job progress capacity freed grants share ends
-- @include attempt lose unhold pools node leads
-- @include relief
local key = P .. 'node:' .. A.node
local lost = 0

-- What was handed to the link but never confirmed may not have arrived: it goes elsewhere at once, and
-- counts as lost, not revoked, so that a node that did get it may still keep or finish it.
local function lose_reserved(executor)
  local grants = redis.call('HGETALL', P .. 'executor:' .. executor .. ':grants')
  for i = 1, #grants, 2 do
    local t = read_attempt(string.match(grants[i + 1], '[^|]*$'), grants[i])
    if t.standing == 'reserved' and lose(t, 'lost', 0, 'unlinked') then lost = lost + 1 end
  end
end

local n = redis.call('HMGET', key, 'epoch', 'state', 'instance')
local has_owner = A.orphan and redis.call('EXISTS', P .. 'instance:' .. (n[3] or '')) == 1
if n[1] ~= tostring(A.epoch) or n[2] == 'offline' or has_owner or (A.lead and not leads(A.lead)) then
  return cmsgpack.pack({current = false, lost = 0, queues = {}})
end
if A.goodbye then
  lost = drop_node(A.node, A.retention_ms, function(t) return lose(t, 'lost', 0, 'goodbye') end)
else
  redis.call('HSET', key, 'state', 'unlinked')
  list_executors(A.node, false)
  for _, executor in ipairs(executors_of(A.node)) do lose_reserved(executor) end
  set_score(P .. 'due', 'live|' .. A.node, NOW + A.live_grace_ms)
  emit('node.unlinked', 'node', A.node)
end
return reply({current = true, lost = lost, queues = touched_queues})
