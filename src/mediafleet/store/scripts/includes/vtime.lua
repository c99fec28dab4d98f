-- The virtual time of tenants in a class, and of the class. A tenant that had no turn for IDLE_MS is forgotten: by
-- then the class's time has passed its own, or nothing has been placed at all.
local IDLE_MS = 600000
local shares, clocks, running = {}, {}, {}

-- What a tenant has had in a class.
local function read_share(tenant, class)
  local key = class .. ':' .. tenant
  if not shares[key] then
    shares[key] = {key = P .. 'vtime:' .. key, vtime = tonumber(redis.call('GET', P .. 'vtime:' .. key) or '0')}
  end
  return shares[key]
end

local function has_reached_cap(tenant, cost)
  local cap = cap_of(tenant)
  if cap == math.huge then return false end
  running[tenant] = running[tenant] or tonumber(redis.call('HGET', P .. 'running', tenant) or '0')
  return running[tenant] + cost > cap
end

before_write[#before_write + 1] = function()
  for _, share in pairs(shares) do
    if share.moved then redis.call('SET', share.key, share.vtime, 'PX', IDLE_MS) end
  end
  for class, time in pairs(clocks) do
    local clock = tonumber(redis.call('GET', P .. 'vclock:' .. class) or '0')
    if time > clock then redis.call('SET', P .. 'vclock:' .. class, time) end
  end
end
