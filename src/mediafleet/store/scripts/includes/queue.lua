-- A queue holds tasks of one requirement, class and policy: tenants by virtual time, and each one's tasks by score. Fair
-- share is start-time fair queuing (Goyal, Vin, Cheng 1996): a tenant enters at the later of its own virtual time and its
-- class's, so that it can neither save up turns nor gain by spreading tasks over queues.
local touched, entered, left = {}, {}, {}

-- Queues that got a task, or whose tasks may be placed now; the caller places them in the same tick.
local function touched_queues()
  local list = {}
  for queue in pairs(touched) do list[#list + 1] = queue end
  return list
end

local function enter(queue, tenant)
  local key = tenant_key(queue, tenant)
  if not entered[key] then entered[key] = {queue = queue, tenant = tenant} end
  touched[queue] = true
end

local function leave(queue, tenant)
  local tenants = P .. 'queue:' .. queue .. ':tenants'
  redis.call('ZREM', tenants, tenant)
  if redis.call('EXISTS', tenants) == 1 then return end
  redis.call('ZREM', P .. 'waiting', queue)
  redis.call('INCR', P .. 'waiting:version')
  -- Nobody is left to wait for what it kept free (hold.lua), and its next wait begins anew.
  redis.call('HDEL', P .. 'blocked', queue)
  local held = redis.call('HGET', P .. 'holds', queue)
  if held then redis.call('ZADD', P .. 'due', NOW, 'hold-end|' .. held) end
end

before_write[#before_write + 1] = function()
  for _, entry in pairs(entered) do
    local tenants = P .. 'queue:' .. entry.queue .. ':tenants'
    if not redis.call('ZSCORE', tenants, entry.tenant) then
      redis.call('ZADD', tenants, start_time(class_of(entry.queue), entry.tenant), entry.tenant)
      if redis.call('ZADD', P .. 'waiting', 'NX', NOW, entry.queue) == 1 then
        redis.call('INCR', P .. 'waiting:version')
      end
    end
  end
end

after_write[#after_write + 1] = function()
  for key, entry in pairs(left) do if redis.call('EXISTS', key) == 0 then leave(entry.queue, entry.tenant) end end
end
