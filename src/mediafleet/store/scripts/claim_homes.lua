-- Agrees on the cells that the jobs of new idempotency keys go to, in the keys' home cell: the first choice counts. How many
-- calls go by a choice is counted, so that it can be made anew when all of them were refused (leave_homes.lua).
-- A: claims = [{tenant, key, cell}], keep_ms
-- Returns {cells = [chosen first, in order]}.
-- @include base events scores
local cells = {}
for position, claim in ipairs(A.claims) do
  local name = claim.tenant .. ':' .. claim.key
  local users = P .. 'homed:' .. name
  if redis.call('SET', P .. 'home:' .. name, claim.cell, 'NX', 'PX', A.keep_ms) then
    redis.call('SET', users, 1, 'PX', A.keep_ms)
  elseif redis.call('EXISTS', users) == 1 then
    redis.call('INCR', users)
  end
  cells[position] = redis.call('GET', P .. 'home:' .. name)
end
return reply({cells = cells})
