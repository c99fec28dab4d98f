-- Records an artifact of another cell, so that jobs of this one can use it; one that is known here stays as it is.
-- A: id, doc, state, retention_ms
-- Returns {opened}: false if it was known.
-- @include base events scores
local key = P .. 'artifact:' .. A.id
if redis.call('EXISTS', key) == 1 then return cmsgpack.pack({opened = false}) end
redis.call('HSET', key, 'doc', A.doc, 'state', A.state)
redis.call('ZADD', P .. 'due', NOW + A.retention_ms, 'artifact|' .. A.id)
return cmsgpack.pack({opened = true})
