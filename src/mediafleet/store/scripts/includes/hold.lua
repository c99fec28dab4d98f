-- A task that needs many slots waits in a queue of its own, since its cost is part of the queue's name. After
-- A.hold_after_ms without room the queue holds one executor, which is out of its pool's indexes until enough of its
-- slots are free, or A.hold_ms are over: without that a stream of small tasks would take each slot that frees up.
local held

local function held_executor(q)
  if not held then
    held = {}
    local found = redis.call('HGETALL', P .. 'holds')
    for i = 1, #found, 2 do held[found[i]] = found[i + 1] end
  end
  return held[q.id]
end

local function pool_of(q, e)
  for _, position in ipairs(q.pools) do
    if A.pools[position].id == e.pool then return A.pools[position] end
  end
end

-- The executor that the queue holds, if it has room by now.
local function held_choice(q)
  local e = held_executor(q) and read_executor(held[q.id])
  local used = e and (q.class == 'b' and used_for_batch(e) or e.used)
  local pool = e and e.slots and used + q.cost <= e.slots and pool_of(q, e)
  if pool then return {executor = e.id, used = used, pool = pool, held = true} end
end

local function begin_hold(q)
  local best
  for _, position in ipairs(q.pools) do
    local pool = A.pools[position]
    settle_pool(pool)
    local found = redis.call('ZRANGE', index_of(pool, q.class), 0, 0, 'WITHSCORES')
    local missing = found[1] and tonumber(found[2]) + q.cost - pool.slots
    -- Where slots are kept for live work, batch may never have as many as it needs.
    local can_fit = q.class ~= 'b' or q.cost <= pool.slots - pool.reserve
    if missing and can_fit and (not best or missing < best.missing) then best = {executor = found[1], missing = missing, pool = pool} end
  end
  if not best then return end
  redis.call('ZREM', members_key(best.pool.id), best.executor)
  redis.call('ZREM', batch_key(best.pool.id), best.executor)
  put(read_executor(best.executor), 'held_for', q.id)
  redis.call('HSET', P .. 'holds', q.id, best.executor)
  held[q.id] = best.executor
  set_score(P .. 'due', 'hold-end|' .. best.executor, NOW + A.hold_ms)
end

-- No executor has room for the queue's tasks.
local function block(q)
  q.is_blocked = true
  if q.cost == 1 or held_executor(q) then return end
  if redis.call('HSETNX', P .. 'blocked', q.id, NOW) == 1 then return end
  if NOW - tonumber(redis.call('HGET', P .. 'blocked', q.id)) >= A.hold_after_ms then begin_hold(q) end
end
