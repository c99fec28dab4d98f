-- Lets a node finish what it runs and take nothing new, or undoes that.
-- A: node, draining, lasting = an operator's word, which survives reconnects (a node's own ends with its process)
-- Returns {found, instance}.
-- @include base events scores nodestate record names queue held capacity freed unhold pools stand
-- @include relief
local key = P .. 'node:' .. A.node
local state = redis.call('HGET', key, 'state')
if not state then return cmsgpack.pack({found = false, instance = ''}) end
redis.call('HSET', key, A.lasting and 'drained' or 'leaving', A.draining and '1' or '0')
stand(A.node, 'change')
emit('node.draining', 'node', A.node, '{"draining":' .. tostring(A.draining) .. '}')
return reply({found = true, instance = redis.call('HGET', key, 'instance') or ''})
