-- The owner lets a session go: another may claim it at once, or it is over and forgotten.
-- A: id, instance, epoch, is_over
-- Returns {released = it was its own at that epoch}.
-- @include base events scores sessions
-- @include relief
local s = read_session(A.id)
local released = s.owner == A.instance and s.epoch == A.epoch
if released then
  end_lease(s)
  if A.is_over then redis.call('DEL', s.key) end
end
return reply({released = released})
