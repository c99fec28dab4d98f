-- The policies of domain/placement.py. Each lists a pool's executors with room, best first, as a flat list of names
-- and slots in use; `rank` is what pools are compared by, smaller is better. A pool is read from the index that its
-- queue's class goes by, once until it changes.
local policies = {}

local function lowest(key, _, _, count) return redis.call('ZRANGE', key, 0, count - 1, 'WITHSCORES') end

policies.least_loaded = {is_lowest = true, list = lowest, rank = function(used, pool) return used / pool.slots end}
policies.spread = {is_lowest = true, list = lowest, rank = function(used) return used end}

-- Idle ones first, then the operator's word, which all executors of a pool have in common, then the least used.
policies.priority = {is_lowest = true, list = lowest, rank = function(used, pool)
  return (used > 0 and 2 ^ 40 or 0) - pool.priority * 2 ^ 20 + used
end}

-- Redis lists equal scores by name, here backwards: the first name of the best score comes with a second look.
policies.pack = {rank = function(used, pool) return -used / pool.slots end, list = function(key, pool, cost, count)
  local found = redis.call('ZREVRANGEBYSCORE', key, pool.slots - cost, '-inf', 'WITHSCORES', 'LIMIT', 0, count)
  if count > 1 or not found[1] then return found end
  return redis.call('ZRANGEBYSCORE', key, found[2], found[2], 'WITHSCORES', 'LIMIT', 0, 1)
end}

policies.random = {rank = function() return 0 end, list = function(key, pool, cost, count)
  return redis.call('ZRANGEBYSCORE', key, '-inf', pool.slots - cost, 'WITHSCORES', 'LIMIT', 0, count)
end}

local function index_of(pool, class) return class == 'b' and pool.reserve > 0 and batch_key(pool.id) or members_key(pool.id) end

-- Returns candidates {executor, used, pool} with room, at most `count`.
local function list_candidates(q, pool, count)
  local name = q.lists .. count
  local candidates = pool.lists[name]
  if candidates then return candidates end
  settle_pool(pool)
  candidates = {}
  pool.lists[name] = candidates
  local found = policies[q.policy].list(index_of(pool, q.class), pool, q.cost, count)
  for i = 1, #found, 2 do
    local used = tonumber(found[i + 1])
    if used + q.cost <= pool.slots then candidates[#candidates + 1] = {executor = found[i], used = used, pool = pool} end
  end
  return candidates
end
