-- An instance ends: its presence and its leadership do at once, not when they expire. It stays on the list, so that the
-- leader's next tick carries on with its inbox and removes it, as it does of one that died.
-- A: instance
-- Returns {led = it was the leader}.
-- @include base events scores
local led = redis.call('GET', P .. 'leader') == A.instance
redis.call('DEL', P .. 'instance:' .. A.instance)
if led then redis.call('DEL', P .. 'leader') end
return reply({led = led})
