-- Takes waiting tasks of one queue, gives each an executor with room and a grant, and hands the
-- assignments to the caller, all in one step (policy: least_loaded, see domain/placement.py).
-- A: queue, pools = [{id, slots}], grants = [fresh random grants: at most this many tasks], reserve_ms
-- Returns {assignments = [{task, grant, attempt, executor, cost, job, doc}], waiting = tasks are left, version = of the pool set}.
-- @include base
-- @include state
-- @include capacity
local Q = P .. 'queue:' .. A.queue
local heads = {}

local function read_head(index)
  local pool = A.pools[index]
  local first = redis.call('ZRANGE', P .. 'pool:' .. pool.id .. ':members', 0, 0, 'WITHSCORES')
  heads[index] = {executor = first[1], used = tonumber(first[2]), slots = pool.slots, index = index}
end

local function next_task()
  while true do
    local tenant = redis.call('ZRANGE', Q .. ':tenants', 0, 0)[1]
    if not tenant then return nil end
    local id = redis.call('ZRANGE', Q .. ':tenant:' .. tenant, 0, 0)[1]
    if id then return id, tenant end
    redis.call('ZREM', Q .. ':tenants', tenant)
  end
end

-- @include choose

local function assign(id, tenant, choice, grant, t)
  local cost, executor, attempt = tonumber(t[1]), choice.executor, tonumber(t[2] or '0') + 1
  redis.call('ZREM', Q .. ':tenant:' .. tenant, id)
  redis.call('ZINCRBY', Q .. ':tenants', cost, tenant)
  local state = after(after(after(t[5], 'select'), 'reserve'), 'dispatch')
  redis.call('HSET', P .. 'task:' .. id, 'state', state, 'attempt', attempt, 'grant', grant,
    'grant:' .. grant, 'reserved|' .. executor)
  hold(executor, grant, cost, id)
  redis.call('ZADD', P .. 'due', NOW + A.reserve_ms, 'reserve|' .. id .. '|' .. grant)
  read_head(choice.index)
  return {task = id, grant = grant, attempt = attempt, executor = executor, cost = cost, job = t[3], doc = t[4]}
end

for index = 1, #A.pools do read_head(index) end
local assignments = {}
for _, grant in ipairs(A.grants) do
  local id, tenant = next_task()
  if not id then break end
  local t = redis.call('HMGET', P .. 'task:' .. id, 'cost', 'attempt', 'job', 'doc', 'state', 'excluded')
  local choice = choose(tonumber(t[1]), t[6])
  if not choice then break end
  assignments[#assignments + 1] = assign(id, tenant, choice, grant, t)
end
return cmsgpack.pack({assignments = assignments, waiting = next_task() ~= nil,
  version = tonumber(redis.call('GET', P .. 'pools:version') or '0')})
