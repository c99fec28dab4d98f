-- Records an artifact: an upload that begins, or a file that is used in place and so complete.
-- A: id, doc, state, retention_ms
-- Returns {opened}.
-- @include base events scores
redis.call('HSET', P .. 'artifact:' .. A.id, 'doc', A.doc, 'state', A.state)
redis.call('ZADD', P .. 'due', NOW + A.retention_ms, 'artifact|' .. A.id)
return cmsgpack.pack({opened = true})
