-- An executor's hash of grants is the truth about its capacity; `used` and the pool's score follow
-- it here and nowhere else. XX keeps an executor that left its pool (drained, link down) out of it.
local pool_of = {}

local function set_used(executor, change)
  local used = redis.call('HINCRBY', P .. 'executor:' .. executor, 'used', change)
  if pool_of[executor] == nil then pool_of[executor] = redis.call('HGET', P .. 'executor:' .. executor, 'pool') end
  if pool_of[executor] then
    redis.call('ZADD', P .. 'pool:' .. pool_of[executor] .. ':members', 'XX', used, executor)
  end
end

local function hold(executor, grant, cost, task)
  if redis.call('HSETNX', P .. 'executor:' .. executor .. ':grants', grant, cost .. '|' .. task) == 1 then
    set_used(executor, cost)
  end
end

-- `cost` is the task's, in slots. Returns whether the grant held any.
local function release(executor, grant, cost)
  if redis.call('HDEL', P .. 'executor:' .. executor .. ':grants', grant) == 0 then return false end
  set_used(executor, -tonumber(cost))
  return true
end

local function has_room(executor, cost)
  local e = redis.call('HMGET', P .. 'executor:' .. executor, 'slots', 'used')
  return e[1] and tonumber(e[2] or '0') + tonumber(cost) <= tonumber(e[1])
end
