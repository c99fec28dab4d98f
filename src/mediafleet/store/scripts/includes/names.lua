-- A queue's name begins with the first letter of its class: l, i or b.
local function class_of(queue) return string.sub(queue, 1, 1) end

local function tenant_key(queue, tenant) return P .. 'queue:' .. queue .. ':tenant:' .. tenant end

local function members_key(pool) return P .. 'pool:' .. pool .. ':members' end

local function batch_key(pool) return P .. 'pool:' .. pool .. ':batch' end

-- Where a tenant that enters a queue stands: neither before its own turn nor before its class's time.
local function start_time(class, tenant)
  local times = redis.call('MGET', P .. 'vtime:' .. class .. ':' .. tenant, P .. 'vclock:' .. class)
  return math.max(tonumber(times[1] or '0'), tonumber(times[2] or '0'))
end
