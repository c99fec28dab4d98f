-- A call was refused: where no other call goes by the choice of a cell for a key (claim_homes.lua), it is forgotten.
-- A: claims = [{tenant, key, cell}]
-- Returns {freed = how many were}.
-- @include base events scores
-- @include relief
local freed = 0
for _, claim in ipairs(A.claims) do
  local name = claim.tenant .. ':' .. claim.key
  local users = P .. 'homed:' .. name
  if redis.call('EXISTS', users) == 1 and redis.call('DECR', users) <= 0 then
    freed = freed + redis.call('DEL', P .. 'home:' .. name)
    redis.call('DEL', users)
  end
end
return reply({freed = freed})
