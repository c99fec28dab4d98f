-- The executors of a pool that are used least: read once, and kept here by use while their slots are given out. One more
-- than tasks can be placed are read, so those that were not read never come first. A rung holds those of equal use; it is
-- put in order, by name, only when it becomes the lowest one.
local function add_rung(ladder, candidate)
  local rung = ladder[candidate.used]
  if not rung then
    rung = {first = 1}
    ladder[candidate.used] = rung
  end
  rung[#rung + 1] = candidate
  return rung
end

local function read_ladder(pool, key)
  local found = redis.call('ZRANGE', key, 0, most_placed(), 'WITHSCORES')
  pool.ladder, pool.index, pool.lowest = {}, key, 0
  for i = 1, #found, 2 do add_rung(pool.ladder, {executor = found[i], used = tonumber(found[i + 1]), pool = pool}) end
end

-- Whoever looks at a pool's index in the store calls this first.
local function settle_pool(pool)
  write_moved(pool.id)
  pool.ladder, pool.index, pool.lists = nil, nil, {}
end

local function goes_by_name(a, b) return a.executor < b.executor end

local function order_rung(rung)
  local left = {unpack(rung, rung.first)}
  table.sort(left, goes_by_name)
  left.first = 1
  return left
end

-- Returns the executor that is used least, by the index `key`, or nil where none has room for anything.
local function lowest_of(pool, key)
  if pool.index ~= key then
    settle_pool(pool)
    read_ladder(pool, key)
  end
  for used = pool.lowest, pool.slots - 1 do
    local rung = pool.ladder[used]
    if rung and rung.first <= #rung then
      pool.lowest = used
      if rung.is_mixed then rung = order_rung(rung) end
      pool.ladder[used] = rung
      return rung[rung.first]
    end
  end
end

-- An executor was given a task; `choice` is what was chosen.
local function note_given(choice, e)
  local pool = choice.pool
  local rung = pool.ladder and pool.ladder[choice.used]
  if not rung or rung[rung.first] ~= choice then return settle_pool(pool) end
  rung.first = rung.first + 1
  choice.used = pool.index == batch_key(pool.id) and used_for_batch(e) or e.used
  add_rung(pool.ladder, choice).is_mixed = true
end
