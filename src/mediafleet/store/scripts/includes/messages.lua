-- Messages between instances: `fields` is a flat list of a stream's fields, `node` first and the content after it.
local undelivered = 0

local function lives(instance) return redis.call('EXISTS', P .. 'instance:' .. instance) == 1 end

-- Returns the instance that has the node's link now. What nobody can deliver is kept where an operator can look at it.
local function find_owner(fields, hops)
  local owner = redis.call('HGET', P .. 'node:' .. fields[2], 'instance')
  local reason = (not owner or not lives(owner)) and 'no-owner' or hops > A.max_hops and 'hops'
  if not reason then return owner end
  undelivered = undelivered + 1
  local given = {unpack(fields)}
  add_pair(given, 'reason', reason)
  redis.call('XADD', P .. 'undelivered', 'MAXLEN', '~', 1000, '*', unpack(given))
end

local function post(owner, fields, hops)
  local given = {unpack(fields)}
  add_pair(given, 'hops', hops)
  redis.call('XADD', P .. 'inbox:' .. owner, 'MAXLEN', '~', A.inbox_length, '*', unpack(given))
end
