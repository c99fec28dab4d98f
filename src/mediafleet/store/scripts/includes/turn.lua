-- Whose turn it is in queue A.queue: the tenant with the least virtual time, then by name. Tenants and
-- heads are read in chunks and kept here while the script runs; `settle_turn` writes back.
local CHUNK, Q = 16, P .. 'queue:' .. A.queue
local turns

local function read_turns()
  turns = {}
  local found = redis.call('ZRANGE', Q .. ':tenants', 0, #A.grants, 'WITHSCORES')
  for i = 1, #found, 2 do
    turns[#turns + 1] = {tenant = found[i], key = Q .. ':tenant:' .. found[i], vtime = tonumber(found[i + 1]),
      ids = {}, at = 1, taken = {}}
  end
end

local function settle_turn(turn)
  call_in_parts('ZREM', turn.key, turn.taken)
  if redis.call('EXISTS', turn.key) == 0 then return redis.call('ZREM', Q .. ':tenants', turn.tenant) end
  redis.call('ZADD', Q .. ':tenants', turn.vtime, turn.tenant)
end

-- The tenant's first task that was not taken yet. Those taken are still in the set: they count as offset.
local function head_of(turn)
  if not turn.ids[turn.at] then
    turn.ids, turn.at = redis.call('ZRANGE', turn.key, #turn.taken, #turn.taken + CHUNK - 1), 1
  end
  return turn.ids[turn.at]
end

local function goes_before(a, b) return a.vtime < b.vtime or (a.vtime == b.vtime and a.tenant < b.tenant) end

local function first_turn()
  local best = 1
  for i = 2, #turns do
    if goes_before(turns[i], turns[best]) then best = i end
  end
  return turns[best], best
end

local function peek_task()
  if not turns then read_turns() end
  while #turns > 0 do
    local turn, position = first_turn()
    local id = head_of(turn)
    if id then return id, turn end
    settle_turn(turn)
    table.remove(turns, position)
    if #turns == 0 then read_turns() end
  end
end

local function take_task(turn, cost)
  turn.taken[#turn.taken + 1] = turn.ids[turn.at]
  turn.at, turn.vtime = turn.at + 1, turn.vtime + cost
end

before_write[#before_write + 1] = function()
  for _, turn in ipairs(turns or {}) do
    if #turn.taken > 0 then settle_turn(turn) end
  end
end
