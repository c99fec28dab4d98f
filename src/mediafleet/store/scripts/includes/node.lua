-- Pools have members only while those may be used: listing and unlisting an executor is how a node
-- is drained, cut off or brought back; no placement tests for it.
local function executors_of(node) return redis.call('SMEMBERS', P .. 'node:' .. node .. ':executors') end

local function bump_pools() redis.call('INCR', P .. 'pools:version') end

local function unlist(executor)
  local pool = redis.call('HGET', P .. 'executor:' .. executor, 'pool')
  if not pool then return end
  redis.call('ZREM', P .. 'pool:' .. pool .. ':members', executor)
  if redis.call('EXISTS', P .. 'pool:' .. pool .. ':members') == 0 and redis.call('HDEL', P .. 'pools', pool) == 1 then
    bump_pools()
  end
end

local function list_executors(node, wanted)
  for _, executor in ipairs(executors_of(node)) do
    local e = redis.call('HMGET', P .. 'executor:' .. executor, 'pool', 'used', 'pool_doc')
    if wanted then
      if redis.call('HSETNX', P .. 'pools', e[1], e[3]) == 1 then bump_pools() end
      redis.call('ZADD', P .. 'pool:' .. e[1] .. ':members', e[2] or 0, executor)
    else
      unlist(executor)
    end
  end
end

-- Ends the attempts of an executor that `chosen(grant)` picks; what was revoked before only frees its slots.
local function lose_grants(executor, standing, chosen)
  local count = 0
  local grants = redis.call('HGETALL', P .. 'executor:' .. executor .. ':grants')
  for i = 1, #grants, 2 do
    local grant, cost, task = grants[i], string.match(grants[i + 1], '^(%d+)|(.*)$')
    if chosen(grant) then
      local t = read_attempt(task, grant)
      if is_live(t.standing) then
        if lose(t, standing, 0) then count = count + 1 end
      else
        release(executor, grant, cost)
      end
    end
  end
  return count
end

local function always() return true end

-- The node is gone: nothing of it holds capacity any more.
local function drop_node(node, retention_ms)
  local count = 0
  for _, executor in ipairs(executors_of(node)) do count = count + lose_grants(executor, 'lost', always) end
  list_executors(node, false)
  redis.call('HSET', P .. 'node:' .. node, 'state', 'offline')
  drop_score(P .. 'due', 'node|' .. node)
  set_score(P .. 'due', 'forget-node|' .. node, NOW + retention_ms)
  emit('node.lost', 'node', node, '{"lost":' .. count .. '}')
  return count
end
