-- A queue holds tasks with one requirement, class and policy: tenants by virtual time, and for each
-- tenant its tasks by score. A tenant is in the queue as long as it has tasks there; it enters at the
-- least virtual time there, so that it cannot save up turns.
local touched, entered, left, counts = {}, {}, {}, {}

-- Queues that got a task; the caller places them in the same tick.
local function touched_queues()
  local list = {}
  for queue in pairs(touched) do list[#list + 1] = queue end
  return list
end

local function tenant_key(queue, tenant) return P .. 'queue:' .. queue .. ':tenant:' .. tenant end

local function enqueue(id, queue, tenant, score)
  local key = tenant_key(queue, tenant)
  set_score(key, id, score)
  drop_score(P .. 'due', 'hold|' .. id)
  entered[key] = {tenants = P .. 'queue:' .. queue .. ':tenants', tenant = tenant}
  touched[queue] = true
end

local function unqueue(id, queue, tenant)
  local key = tenant_key(queue, tenant)
  drop_score(key, id)
  drop_score(P .. 'due', 'hold|' .. id)
  left[key] = {tenants = P .. 'queue:' .. queue .. ':tenants', tenant = tenant}
end

-- A queue's description is kept while there is a task, in whatever state, that belongs to it.
local function count_tasks(queue, change) counts[queue] = (counts[queue] or 0) + change end

before_write[#before_write + 1] = function()
  for _, entry in pairs(entered) do
    if not redis.call('ZSCORE', entry.tenants, entry.tenant) then
      local first = redis.call('ZRANGE', entry.tenants, 0, 0, 'WITHSCORES')
      redis.call('ZADD', entry.tenants, first[2] or 0, entry.tenant)
    end
  end
  for queue, change in pairs(counts) do
    if redis.call('HINCRBY', P .. 'queues:tasks', queue, change) <= 0 then
      redis.call('HDEL', P .. 'queues:tasks', queue)
      redis.call('HDEL', P .. 'queues', queue)
    end
  end
end

after_write[#after_write + 1] = function()
  for key, entry in pairs(left) do
    if redis.call('EXISTS', key) == 0 then redis.call('ZREM', entry.tenants, entry.tenant) end
  end
end
