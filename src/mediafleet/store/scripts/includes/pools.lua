-- Pools have members only while those may be used: listing and unlisting an executor is how a node
-- is drained, cut off or brought back; no placement tests for it.
local function executors_of(node) return redis.call('SMEMBERS', P .. 'node:' .. node .. ':executors') end

-- A pool stays for some time after its last executor left: the fleet's set of pools should not change with each
-- reconnect, since every instance matches anew when it does.
local FADE_MS = 60000

local function bump_pools() redis.call('INCR', P .. 'pools:version') end

local function count_members(pool, change)
  local size = redis.call('HINCRBY', P .. 'pools:sizes', pool, change)
  set_score(P .. 'due', 'fade|' .. pool, size == 0 and NOW + FADE_MS)
end

-- The pool's last executor left some time ago.
local function fade_pool(pool)
  if redis.call('HGET', P .. 'pools:sizes', pool) ~= '0' then return end
  redis.call('HDEL', P .. 'pools:sizes', pool)
  if redis.call('HDEL', P .. 'pools', pool) == 1 then bump_pools() end
end

local function unlist(id)
  local e = end_hold(id) or read_executor(id)
  if e.listed ~= '1' then return end
  put(e, 'listed', '0')
  redis.call('ZREM', members_key(e.pool), id)
  redis.call('ZREM', batch_key(e.pool), id)
  count_members(e.pool, -1)
end

local function list(id)
  local e = read_executor(id)
  if e.listed == '1' then return end
  put(e, 'listed', '1')
  if redis.call('HSETNX', P .. 'pools', e.pool, redis.call('HGET', e.key, 'pool_doc')) == 1 then bump_pools() end
  write_scores({e}, 'NX')
  count_members(e.pool, 1)
end

-- One that its node has left out of its list since (declare.lua) stays out.
local function list_executors(node, wanted)
  for _, id in ipairs(executors_of(node)) do
    local is_left = wanted and redis.call('HGET', P .. 'executor:' .. id, 'left') == '1'
    if not is_left then (wanted and list or unlist)(id) end
  end
end
