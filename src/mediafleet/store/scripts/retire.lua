-- An instance ends: its presence and its leadership do at once, not when they expire.
-- A: instance
-- Returns {led = it was the leader}.
-- @include base events scores
local led = redis.call('GET', P .. 'leader') == A.instance
redis.call('DEL', P .. 'instance:' .. A.instance)
redis.call('HDEL', P .. 'instances', A.instance)
if led then redis.call('DEL', P .. 'leader') end
return reply({led = led})
