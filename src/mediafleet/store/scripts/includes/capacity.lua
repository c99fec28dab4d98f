-- An executor's hash of grants is the truth about its capacity; `used` and the pool's score follow
-- it here and nowhere else. XX keeps an executor that left its pool (drained, link down) out of it.
local function set_used(executor, change)
  local used = redis.call('HINCRBY', P .. 'executor:' .. executor, 'used', change)
  local pool = redis.call('HGET', P .. 'executor:' .. executor, 'pool')
  if pool then redis.call('ZADD', P .. 'pool:' .. pool .. ':members', 'XX', used, executor) end
end

local function hold(executor, grant, cost, task)
  if redis.call('HSETNX', P .. 'executor:' .. executor .. ':grants', grant, cost .. '|' .. task) == 1 then
    set_used(executor, cost)
  end
end

local function release(executor, grant)
  local held = redis.call('HGET', P .. 'executor:' .. executor .. ':grants', grant)
  if not held then return false end
  redis.call('HDEL', P .. 'executor:' .. executor .. ':grants', grant)
  set_used(executor, -tonumber(string.match(held, '^%d+')))
  return true
end
