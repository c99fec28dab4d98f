-- Who holds slots: an executor's hash of grants, "<cost>|<class>|<tenant>|<task>" by grant, is the truth about its
-- capacity. What tenants use follows it here and nowhere else; `share.lua` writes it.
local spent = {}

local function hold(executor, grant, t)
  local class, cost = class_of(t.queue), tonumber(t.cost)
  local value = cost .. '|' .. class .. '|' .. t.tenant .. '|' .. t.id
  if redis.call('HSETNX', P .. 'executor:' .. executor .. ':grants', grant, value) == 0 then return end
  spent[t.tenant] = (spent[t.tenant] or 0) + cost
  set_used(executor, class, cost)
end

-- Returns whether the grant held any slots. `t` may be a task that retention has removed meanwhile.
local function release(executor, grant, t)
  local key = P .. 'executor:' .. executor .. ':grants'
  local value = not t.queue and redis.call('HGET', key, grant)
  if redis.call('HDEL', key, grant) == 0 then return false end
  local cost, class, tenant = t.cost, t.queue and class_of(t.queue), t.tenant
  if value then cost, class, tenant = string.match(value, '^(%d+)|(%a)|([^|]*)|') end
  spent[tenant] = (spent[tenant] or 0) - cost
  set_used(executor, class, -cost)
  return true
end

local function has_room(executor, cost)
  local e = read_executor(executor)
  return e.slots and e.used + tonumber(cost) <= e.slots
end
