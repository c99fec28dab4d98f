-- Locality: among executors that the policy holds equal, one on a node that has the task's input already.
local function find_listed(q, executor)
  for _, position in ipairs(q.pools) do
    local pool = A.pools[position]
    write_moved(pool.id)
    local used = redis.call('ZSCORE', index_of(pool, q.class), executor)
    if used then return {executor = executor, used = tonumber(used), pool = pool} end
  end
end

local function prefer_near(q, t, best, excluded)
  local rank_of, nearest = policies[q.policy].rank, nil
  local rank = rank_of(best.used, best.pool)
  local function consider(executor)
    local found = find_listed(q, executor)
    if found and found.used + q.cost <= found.pool.slots and rank_of(found.used, found.pool) == rank
      and (not nearest or executor < nearest.executor) then
      nearest = found
    end
  end
  for node in string.gmatch(t.near, '%S+') do
    if not names_node(excluded, node) then
      for _, executor in ipairs(redis.call('SMEMBERS', P .. 'node:' .. node .. ':executors')) do consider(executor) end
    end
  end
  return nearest or best
end

local function is_set(text) return text and text ~= '' end

local function choose(q, t, draw)
  local fresh = is_set(t.excluded) and choose_fresh(q, t, draw)
  if not fresh and q.policy == 'random' then return pick_random(q, draw) end
  local best = fresh or choose_any(q)
  if not best or not is_set(t.near) or q.policy == 'random' then return best end
  return prefer_near(q, t, best, fresh and t.excluded or '')
end
