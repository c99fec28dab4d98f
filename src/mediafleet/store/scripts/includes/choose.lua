-- The least loaded executor among the heads of the pools: smallest share used, then name. One where the
-- task failed before is taken only if no other in any pool has room: at most eight are excluded, so one
-- of the first nine of a pool is not.
local PEEK = 8
local heads = {}

local function read_head(position)
  local pool = A.pools[position]
  local first = redis.call('ZRANGE', P .. 'pool:' .. pool.id .. ':members', 0, 0, 'WITHSCORES')
  heads[position] = {executor = first[1], used = tonumber(first[2]), slots = pool.slots, index = position}
end

local function is_better(candidate, best)
  local mine, theirs = candidate.used / candidate.slots, best.used / best.slots
  return mine < theirs or (mine == theirs and candidate.executor < best.executor)
end

local function find_fresh(head, cost, excluded)
  local few = redis.call('ZRANGE', P .. 'pool:' .. A.pools[head.index].id .. ':members', 0, PEEK, 'WITHSCORES')
  for i = 1, #few, 2 do
    local used = tonumber(few[i + 1])
    if used + cost > head.slots then return nil end
    if not string.find(excluded, ' ' .. few[i] .. ' ', 1, true) then
      return {executor = few[i], used = used, slots = head.slots, index = head.index}
    end
  end
end

local function choose(cost, excluded)
  local best, fallback
  excluded = excluded and excluded ~= '' and (' ' .. excluded .. ' ')
  for _, head in ipairs(heads) do
    if head.executor and head.used + cost <= head.slots then
      if not fallback or is_better(head, fallback) then fallback = head end
      local fresh = head
      if excluded then fresh = find_fresh(head, cost, excluded) end
      if fresh and (not best or is_better(fresh, best)) then best = fresh end
    end
  end
  return best or fallback
end
