-- Records an artifact: an upload that begins, or a file that is used in place and so complete.
-- A: id, doc, state, retention_ms, is_output = an attempt made it
-- Returns {opened}.
-- @include base events scores
-- What work that was accepted makes is recorded at `maxmemory` as well, see relief.lua.
if A.is_output then redis.call('ZREM', P .. 'due', '') end
redis.call('HSET', P .. 'artifact:' .. A.id, 'doc', A.doc, 'state', A.state)
redis.call('ZADD', P .. 'due', NOW + A.retention_ms, 'artifact|' .. A.id)
return cmsgpack.pack({opened = true})
