-- A queue's name begins with the first letter of its class: l, i or b.
local function class_of(queue) return string.sub(queue, 1, 1) end

-- What a person does (domain/review.py) belongs to one of these queues, and never enters it. In one table with what
-- held.lua adds: Lua knows 200 local names, and the reaper has nearly as many.
local person = {queues = {['l-person'] = true, ['i-person'] = true, ['b-person'] = true}, asked = {}}

local function tenant_key(queue, tenant) return P .. 'queue:' .. queue .. ':tenant:' .. tenant end

local function members_key(pool) return P .. 'pool:' .. pool .. ':members' end

local function batch_key(pool) return P .. 'pool:' .. pool .. ':batch' end

-- Where a tenant that enters a queue stands: neither before its own turn nor before its class's time.
local function start_time(class, tenant)
  local times = redis.call('MGET', P .. 'vtime:' .. class .. ':' .. tenant, P .. 'vclock:' .. class)
  return math.max(tonumber(times[1] or '0'), tonumber(times[2] or '0'))
end
