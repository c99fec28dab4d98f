-- Puts off the end of an upload that goes on.
-- A: id, retention_ms
-- Returns {opened}: false if it is complete, or was given up.
-- @include base events scores
-- @include relief
local is_open = redis.call('HGET', P .. 'artifact:' .. A.id, 'state') == 'open'
if is_open then redis.call('ZADD', P .. 'due', NOW + A.retention_ms, 'artifact|' .. A.id) end
return cmsgpack.pack({opened = is_open})
