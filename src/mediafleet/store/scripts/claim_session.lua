-- An instance takes a session: one that is nobody's, or whose owner is gone or let its lease run out. Each change of hands
-- raises the epoch, with which the new owner's writes are accepted and the old one's are refused. Who has it keeps it.
-- A: id, instance, ttl_ms (of the lease), gap_ms (see leases.lua)
-- Returns {owner = who has it now ('' if the caller does not live), epoch, next, acknowledged = where the one before had got to}.
-- @include base events scores leases sessions
local s = read_session(A.id)

local function lives(instance) return redis.call('EXISTS', P .. 'instance:' .. instance) == 1 end

-- All presences end in an outage, and who announces itself first must not take what the others still have.
local function is_free() return s.owner == '' or has_ended(s.ends) or (not IN_GRACE and not lives(s.owner)) end

local function take()
  if s.owner ~= '' then redis.call('SREM', sessions_key(s.owner), s.id) end
  s.owner, s.epoch = A.instance, s.epoch + 1
  redis.call('SADD', sessions_key(s.owner), s.id)
end

-- One that slept through its presence takes nothing until it has said again that it lives: it would be taken back at once.
if is_free() then
  if lives(A.instance) then take() else s.owner = '' end
end
if s.owner == A.instance then hold_session(s, s.owner, NOW + A.ttl_ms) end
local at = redis.call('HMGET', s.key, 'next', 'acknowledged')
return reply({owner = s.owner, epoch = s.epoch, next = tonumber(at[1] or '0'), acknowledged = tonumber(at[2] or '0')})
