-- Chooses an executor for a task `t` of a queue `q` among the pools that match, as domain/placement.py says. Nodes
-- where the task failed before are taken only if no other has room: it looks at FEW executors a pool for that.
local FEW = 64

local function each_candidate(q, count, visit)
  for _, position in ipairs(q.pools) do
    for _, candidate in ipairs(list_candidates(q, A.pools[position], count)) do visit(candidate) end
  end
end

-- Returns a function that is shown candidates, and one that returns the best of them.
local function contest(q)
  local rank_of, best, best_rank = policies[q.policy].rank, nil, nil
  return function(candidate)
    local rank = rank_of(candidate.used, candidate.pool)
    if not best or rank < best_rank or (rank == best_rank and candidate.executor < best.executor) then
      best, best_rank = candidate, rank
    end
  end, function() return best end
end

local function names_node(list, node) return string.find(' ' .. list .. ' ', ' ' .. node .. ' ', 1, true) end

local function choose_fresh(q, t, draw)
  local fresh = {}
  each_candidate(q, FEW, function(candidate)
    if not names_node(t.excluded, string.match(candidate.executor, '^[^/]*')) then fresh[#fresh + 1] = candidate end
  end)
  if q.policy == 'random' then return fresh[math.floor(draw * #fresh) + 1] end
  local enter_contest, winner = contest(q)
  for _, candidate in ipairs(fresh) do enter_contest(candidate) end
  return winner()
end

local function choose_any(q)
  local enter_contest, winner = contest(q)
  if not policies[q.policy].is_lowest then
    each_candidate(q, 1, enter_contest)
    return winner()
  end
  for _, position in ipairs(q.pools) do
    local pool = A.pools[position]
    local lowest = lowest_of(pool, index_of(pool, q.class))
    if lowest and lowest.used + q.cost <= pool.slots then enter_contest(lowest) end
  end
  return winner()
end
