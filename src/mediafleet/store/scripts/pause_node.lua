-- Pauses a node, or lets it work again: it stays registered and takes nothing new, also when it comes back on another link. What
-- it runs finishes, or is stopped at once, here or (where it is much) by the reaper.
-- A: node, paused, stop = running attempts are stopped as well, piece = most of them in this call
-- Returns {found, stops = [{task, grant, executor}], queues = [touched]}.
-- @include base events scores state nodestate record rule names queue held counts job progress capacity freed grants share ends
-- @include attempt lose revoke unhold pools stand interrupt
-- @include relief
local key, stops = P .. 'node:' .. A.node, {}
if redis.call('EXISTS', key) == 0 then return cmsgpack.pack({found = false, stops = stops, queues = {}}) end
local was_paused = redis.call('HGET', key, 'paused') == '1'
redis.call('HSET', key, 'paused', A.paused and '1' or '0')
if was_paused ~= A.paused then emit(A.paused and 'node.paused' or 'node.resumed', 'node', A.node) end
stand(A.node, 'change')
if A.paused and A.stop and interrupt_node(A.node, A.piece, stops) then set_score(P .. 'due', 'stop|' .. A.node, NOW) end
return reply({found = true, stops = stops, queues = touched_queues})
