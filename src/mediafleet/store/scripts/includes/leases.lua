-- A lease that ran out while no instance or store could renew has not ended (DESIGN.md §3, rule 3): until the reaper has
-- noticed, by the gap since its last tick; then by the grace that it gave.
local tick = redis.call('HMGET', P .. 'tick', 'at', 'grace_until')
local IN_GRACE = NOW < tonumber(tick[2] or '0') or (tick[1] and NOW - tonumber(tick[1]) > A.gap_ms) or false

local function has_ended(lease_ends) return lease_ends < NOW and not IN_GRACE end
