-- Lets a node finish what it runs and take nothing new, or undoes that.
-- A: node, draining, lasting = an operator's word, which survives reconnects (a node's own ends with its process)
-- Returns {found, instance}.
-- @include base events scores state record rule names queue counts job progress capacity freed grants share ends
-- @include attempt lose unhold pools node
-- @include relief
local key = P .. 'node:' .. A.node
local state = redis.call('HGET', key, 'state')
if not state then return cmsgpack.pack({found = false, instance = ''}) end
if A.lasting then redis.call('HSET', key, 'drained', A.draining and '1' or '0') end
if state == 'ready' or state == 'draining' then
  redis.call('HSET', key, 'state', A.draining and 'draining' or 'ready')
  list_executors(A.node, not A.draining)
end
emit('node.draining', 'node', A.node, '{"draining":' .. tostring(A.draining) .. '}')
return reply({found = true, instance = redis.call('HGET', key, 'instance') or ''})
