-- A queue's name begins with the first letter of its class: l, i or b.
local function class_of(queue) return string.sub(queue, 1, 1) end

local function tenant_key(queue, tenant) return P .. 'queue:' .. queue .. ':tenant:' .. tenant end

local function members_key(pool) return P .. 'pool:' .. pool .. ':members' end

local function batch_key(pool) return P .. 'pool:' .. pool .. ':batch' end

-- Where a tenant that enters a queue stands: neither before its own turn nor before its class's time.
local function start_time(class, tenant)
  local own = redis.call('GET', P .. 'vtime:' .. class .. ':' .. tenant)
  local clock = redis.call('GET', P .. 'vclock:' .. class)
  return math.max(tonumber(own or '0'), tonumber(clock or '0'))
end
