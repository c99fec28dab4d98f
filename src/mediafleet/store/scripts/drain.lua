-- Lets a node finish what it runs and take nothing new, or undoes that; survives its reconnects.
-- A: node, draining
-- Returns {found, instance}.
-- @include base
-- @include state
-- @include queue
-- @include job
-- @include capacity
-- @include attempt
-- @include node
local key = P .. 'node:' .. A.node
local state = redis.call('HGET', key, 'state')
if not state then return cmsgpack.pack({found = false, instance = ''}) end
redis.call('HSET', key, 'drained', A.draining and '1' or '0')
if state == 'ready' or state == 'draining' then
  redis.call('HSET', key, 'state', A.draining and 'draining' or 'ready')
  list_executors(A.node, not A.draining)
end
emit('node.draining', 'node', A.node, '{"draining":' .. tostring(A.draining) .. '}')
return cmsgpack.pack({found = true, instance = redis.call('HGET', key, 'instance') or ''})
