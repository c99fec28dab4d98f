-- An instance ends: its presence and its leadership do at once, not when they expire. It stays listed until a leader has
-- buried it (bury.lua): others may have written to its inbox a moment ago.
-- A: instance
-- Returns {led = it was the leader}.
-- @include base events scores
local led = redis.call('GET', P .. 'leader') == A.instance
redis.call('DEL', P .. 'instance:' .. A.instance)
if led then redis.call('DEL', P .. 'leader') end
return reply({led = led})
