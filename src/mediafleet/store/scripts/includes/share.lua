-- What tenants use, all classes together, and their caps: a tenant at its cap is parked, that is, out of the queues
-- where its turn came, until it gives slots back. A.tenants = {tenant: {weight, cap}} has those that the operator named.
local function cap_of(tenant)
  local rule = A.tenants and A.tenants[tenant]
  return rule and rule.cap > 0 and rule.cap or math.huge
end

local function weight_of(tenant)
  local rule = A.tenants and A.tenants[tenant]
  return rule and rule.weight or 1
end

local function unpark(tenant)
  local key = P .. 'parked:' .. tenant
  if redis.call('EXISTS', key) == 0 then return end
  for _, queue in ipairs(redis.call('SMEMBERS', key)) do
    if redis.call('EXISTS', tenant_key(queue, tenant)) == 1 then enter(queue, tenant) end
  end
  redis.call('DEL', key)
end

-- First of all steps: `unpark` makes tenants enter their queues.
table.insert(before_write, 1, function()
  for tenant, change in pairs(spent) do
    if change ~= 0 and redis.call('HINCRBY', P .. 'running', tenant, change) == 0 then
      redis.call('HDEL', P .. 'running', tenant)
    end
    if change < 0 then unpark(tenant) end
  end
end)
