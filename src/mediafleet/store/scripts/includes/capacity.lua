-- What is used of an executor, and its places in the indexes of its pool, which follow its grants (grants.lua) here
-- and nowhere else. XX keeps an executor that left its pool (drained, link down, held) out of it.
local executors, freed = {}, {}

local function read_executor(id)
  local e = executors[id]
  if not e then
    e = read_record(P .. 'executor:' .. id, 
      {'slots', 'pool', 'pool_doc', 'reserve', 'used', 'batch_used', 'owner', 'listed', 'held_for',
       'health'})
    e.id, e.slots, e.reserve = id, tonumber(e.slots), tonumber(e.reserve or '0')
    e.used, e.batch_used = tonumber(e.used or '0'), tonumber(e.batch_used or '0')
    executors[id] = e
  end
  return e
end

-- What counts as used for batch work, which may not take the slots that are kept for live work.
local function used_for_batch(e) return math.max(e.used, e.batch_used + e.reserve) end

-- `flag` is XX to move an executor that is listed, NX to list it.
local function write_scores(e, flag)
  redis.call('ZADD', members_key(e.pool), flag, e.used, e.id)
  if e.reserve > 0 then redis.call('ZADD', batch_key(e.pool), flag, used_for_batch(e), e.id) end
end

local function put(e, field, value)
  e[field] = value
  redis.call('HSET', e.key, field, value)
end

local function write_used(e)
  redis.call('HSET', e.key, 'used', e.used, 'batch_used', e.batch_used)
  write_scores(e, 'XX')
  e.moved = false
end

-- Written once for each executor at the end, or by a script that looks at the indexes itself.
local function set_used(id, class, change)
  local e = read_executor(id)
  if not e.slots then return end
  e.used, e.moved = e.used + change, true
  if class == 'b' then e.batch_used = e.batch_used + change end
  if change >= 0 then return end
  freed[e.pool] = true
  if e.held_for and e.held_for ~= '' then touched[e.held_for] = true end
end

before_write[#before_write + 1] = function()
  for _, e in pairs(executors) do
    if e.moved then write_used(e) end
  end
end

-- Where slots became free, and the version of the set of queues that wait: who caused it places them.
local function freed_capacity()
  local pools = {}
  for pool in pairs(freed) do pools[#pools + 1] = pool end
  return {pools = pools, waiting_version = tonumber(redis.call('GET', P .. 'waiting:version') or '0')}
end
