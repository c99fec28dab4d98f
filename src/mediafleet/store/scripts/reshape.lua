-- A node that is on a link says anew what its executors can do, or how it is; what it runs stays its own.
-- A: node, epoch, state = '' (nothing new) · 'ready' · 'degraded', reason, executors = [{id, slots, pool,
--    reserve, doc}] or empty for nothing new, pools = {pool id: doc}, facts (JSON, '' for nothing new)
-- Returns {current = the epoch is the latest one, state, freed (see freed.lua), queues = [touched]}.
-- @include base events scores nodestate record names queue held capacity freed unhold pools health shape stand declare
-- @include relief
local key = P .. 'node:' .. A.node
local n = redis.call('HMGET', key, 'epoch', 'state')
if n[1] ~= tostring(A.epoch) or n[2] == 'offline' or n[2] == 'unlinked' then
  return reply({current = false, state = n[2] or '', freed = freed_capacity(), queues = touched_queues})
end
if #A.executors > 0 then redeclare() end
if A.facts ~= '' then
  local doc = cjson.decode(redis.call('HGET', key, 'doc'))
  -- Put together by hand: what has empty lists would come back as something else.
  redis.call('HSET', key, 'doc', '{"host":' .. cjson.encode(doc.host) .. ',"version":' .. cjson.encode(doc.version) ..
    ',"link":' .. cjson.encode(doc.link or 'websocket') .. ',"facts":' .. A.facts .. '}')
end
if A.state ~= '' then
  redis.call('HSET', key, 'warming', '0', 'ailing', A.state == 'degraded' and A.reason or '')
  stand(A.node, 'change')
end
return reply({current = true, state = redis.call('HGET', key, 'state'), freed = freed_capacity(), queues = touched_queues})
