-- Which listening nodes this instance may call. A node is one instance's for as long as that one lives: its presence is
-- the lease. Who takes one over gets a higher term, by which the node tells the later caller from the earlier.
-- A: instance, addresses = [address], give_up = [address] that the caller cannot reach and others may,
--    keep_ms (of the record, after the last instance has asked)
-- Returns {claims = [{address, term}]} of those that are the caller's.
-- @include base events scores
local key = P .. 'pushed'
local claims = {}

local function lives(instance) return redis.call('EXISTS', P .. 'instance:' .. instance) == 1 end

local function owner_of(address)
  return string.match(redis.call('HGET', key, address) or '', '^(.*)|(%d+)$')
end

local alive = lives(A.instance)

local function claim(address)
  local owner, term = owner_of(address)
  if owner ~= A.instance then
    -- An instance that slept through its presence takes nothing until it has said again that it lives; what nobody took
    -- from it meanwhile is still its own.
    if not alive or (owner and lives(owner)) then return end
    term = (tonumber(term) or 0) + 1
    redis.call('HSET', key, address, A.instance .. '|' .. term)
  end
  claims[#claims + 1] = {address = address, term = tonumber(term)}
end

for _, address in ipairs(A.give_up) do
  local owner, term = owner_of(address)
  if owner == A.instance then redis.call('HSET', key, address, '|' .. term) end
end
for _, address in ipairs(A.addresses) do claim(address) end
redis.call('PEXPIRE', key, A.keep_ms)
return reply({claims = claims})
