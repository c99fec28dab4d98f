-- What is used of an executor, and its places in the indexes of its pool, which follow its grants (grants.lua) here
-- and nowhere else. XX keeps an executor that left its pool (drained, link down, held) out of it.
local executors, freed = {}, {}

local function read_executor(id)
  local e = executors[id]
  if not e then
    e = read_record(P .. 'executor:' .. id,
      {'slots', 'pool', 'reserve', 'used', 'batch_used', 'owner', 'listed', 'held_for', 'health'})
    e.id, e.slots, e.reserve = id, tonumber(e.slots), tonumber(e.reserve or '0')
    e.used, e.batch_used = tonumber(e.used or '0'), tonumber(e.batch_used or '0')
    executors[id] = e
  end
  return e
end

-- What counts as used for batch work, which may not take the slots that are kept for live work.
local function used_for_batch(e) return math.max(e.used, e.batch_used + e.reserve) end

local function list_scores(lists, e)
  local key = members_key(e.pool)
  lists[key] = lists[key] or {}
  add_pair(lists[key], e.used, e.id)
  if e.reserve == 0 then return end
  key = batch_key(e.pool)
  lists[key] = lists[key] or {}
  add_pair(lists[key], used_for_batch(e), e.id)
end

-- `flag` is XX to move executors that are listed, NX to list them.
local function write_scores(list, flag)
  local lists = {}
  for _, e in ipairs(list) do list_scores(lists, e) end
  for key, scores in pairs(lists) do call_in_parts('ZADD', key, scores, flag) end
end

local function put(e, field, value)
  e[field] = value
  redis.call('HSET', e.key, field, value)
end

-- Of one pool, or of all: once for each executor, at the end or before a script looks at an index itself.
local function write_moved(pool)
  local moved = {}
  for _, e in pairs(executors) do
    if e.moved and (not pool or e.pool == pool) then
      redis.call('HSET', e.key, 'used', e.used, 'batch_used', e.batch_used)
      e.moved = false
      moved[#moved + 1] = e
    end
  end
  write_scores(moved, 'XX')
end

before_write[#before_write + 1] = function() write_moved() end
