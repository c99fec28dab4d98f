-- Whose turn it is in a queue `q`: the tenant with the least virtual time, then by name. Tenants and heads are read
-- in chunks and kept here while the script runs; `settle_turns` writes back. A tenant's score in a queue may be older
-- than its virtual time, which also rises in other queues: it is corrected when its turn comes.
local CHUNK, RESCANS = 16, 8

local function read_turns(q)
  q.turns, q.last = {}, math.huge
  local found = redis.call('ZRANGE', q.key .. ':tenants', 0, #A.grants, 'WITHSCORES')
  for i = 1, #found, 2 do
    q.turns[#q.turns + 1] = {tenant = found[i], key = q.key .. ':tenant:' .. found[i], vtime = tonumber(found[i + 1]),
      ids = {}, at = 1, taken = {}}
  end
  if #q.turns > #A.grants then q.last = q.turns[#q.turns].vtime end
end

local function settle_turn(q, turn)
  call_in_parts('ZREM', turn.key, turn.taken)
  turn.taken, turn.moved = {}, false
  if redis.call('EXISTS', turn.key) == 0 then return leave(q.id, turn.tenant) end
  redis.call('ZADD', q.key .. ':tenants', turn.vtime, turn.tenant)
end

local function settle_turns(q)
  for _, turn in ipairs(q.turns or {}) do
    if #turn.taken > 0 or turn.moved then settle_turn(q, turn) end
  end
end

-- The tenant's first task that was not taken yet. Those taken are still in the set: they count as offset.
local function head_of(turn)
  if not turn.ids[turn.at] then
    turn.ids, turn.at = redis.call('ZRANGE', turn.key, #turn.taken, #turn.taken + CHUNK - 1), 1
  end
  return turn.ids[turn.at]
end

local function goes_before(a, b) return a.vtime < b.vtime or (a.vtime == b.vtime and a.tenant < b.tenant) end

local function first_turn(q)
  local best = 1
  for i = 2, #q.turns do
    if goes_before(q.turns[i], q.turns[best]) then best = i end
  end
  return q.turns[best], best
end

local function remove_turn(q, position)
  table.remove(q.turns, position)
  if #q.turns == 0 then read_turns(q) end
end
