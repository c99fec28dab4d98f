-- A queue holds tasks with one requirement, class and policy: tenants by virtual time, and for each
-- tenant its tasks by score. A tenant enters at the least virtual time there, so that it cannot save up turns.
local function enqueue(id, queue, tenant, score)
  local tenants = P .. 'queue:' .. queue .. ':tenants'
  redis.call('ZADD', P .. 'queue:' .. queue .. ':tenant:' .. tenant, score, id)
  if not redis.call('ZSCORE', tenants, tenant) then
    local first = redis.call('ZRANGE', tenants, 0, 0, 'WITHSCORES')
    redis.call('ZADD', tenants, first[2] or 0, tenant)
  end
  touched[queue] = true
end

local function unqueue(id, queue, tenant)
  local key = P .. 'queue:' .. queue .. ':tenant:' .. tenant
  redis.call('ZREM', key, id)
  redis.call('ZREM', P .. 'due', 'hold|' .. id)
  if redis.call('EXISTS', key) == 0 then redis.call('ZREM', P .. 'queue:' .. queue .. ':tenants', tenant) end
end
