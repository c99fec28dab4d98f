-- `draw` (0 ≤ draw < 1) picks among all executors with room, pool by pool, each by use and name.
local function pick_random(q, draw)
  local counts, total = {}, 0
  for i, position in ipairs(q.pools) do
    local pool = A.pools[position]
    settle_pool(pool)
    counts[i] = redis.call('ZCOUNT', index_of(pool, q.class), '-inf', pool.slots - q.cost)
    total = total + counts[i]
  end
  local rank = math.floor(draw * total)
  for i, position in ipairs(q.pools) do
    if rank < counts[i] then
      local pool = A.pools[position]
      local found = redis.call('ZRANGE', index_of(pool, q.class), rank, rank, 'WITHSCORES')
      return {executor = found[1], used = tonumber(found[2]), pool = pool}
    end
    rank = rank - counts[i]
  end
end
