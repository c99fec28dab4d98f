-- The owner's word on its sessions: their leases go on, and what it says of them is written. Every write of a session comes
-- this way, so that an instance which was stopped for longer than its lease changes nothing.
-- A: instance, ttl_ms, gap_ms (see leases.lua), sessions = [{id, epoch, next, acknowledged (nil: as it was)}]
-- Returns {lost = [ids of those that are not its own at that epoch any more]}.
-- @include base events scores leases sessions
-- @include relief
local lost = {}

for _, told in ipairs(A.sessions) do
  local s = read_session(told.id)
  if s.owner ~= A.instance or s.epoch ~= told.epoch or has_ended(s.ends) then
    lost[#lost + 1] = told.id
  else
    hold_session(s, s.owner, NOW + A.ttl_ms)
    if told.next then redis.call('HSET', s.key, 'next', told.next) end
    if told.acknowledged then redis.call('HSET', s.key, 'acknowledged', told.acknowledged) end
  end
end
return reply({lost = lost})
