-- A node is on a link of this instance: settles what it still does against what the store holds.
-- A: node, instance, incarnation, doc, draining, lease_ms, executors = [{id, slots, pool, doc}], pools = {pool id: doc},
--    announced = [{task, grant}] that it runs, or holds a result of
-- Returns {epoch, keep = [{task, grant}], drop = [{task, grant}], lost = count, draining, queues = [touched]}.
-- @include base
-- @include state
-- @include queue
-- @include job
-- @include capacity
-- @include attempt
-- @include node
local key = P .. 'node:' .. A.node
local announced, keep, drop = {}, {}, {}
for _, attempt in ipairs(A.announced) do announced[attempt.grant] = true end

-- Grants that the node does not know of any more are revoked: nobody works on them.
local function is_unknown(grant) return not announced[grant] end

local function replace_executors()
  local wanted, count = {}, 0
  for _, e in ipairs(A.executors) do wanted[e.id] = true end
  for _, executor in ipairs(executors_of(A.node)) do
    unlist(executor)
    count = count + lose_grants(executor, 'revoked', wanted[executor] and is_unknown or always)
    if not wanted[executor] then
      redis.call('DEL', P .. 'executor:' .. executor)
      redis.call('SREM', P .. 'node:' .. A.node .. ':executors', executor)
    end
  end
  for _, e in ipairs(A.executors) do
    redis.call('HSET', P .. 'executor:' .. e.id, 'slots', e.slots, 'pool', e.pool, 'pool_doc', A.pools[e.pool], 'doc', e.doc)
    redis.call('SADD', P .. 'node:' .. A.node .. ':executors', e.id)
  end
  return count
end
local lost = replace_executors()

local function readopt(attempt, executor)
  local task = P .. 'task:' .. attempt.task
  local t = redis.call('HMGET', task, 'state', 'queue', 'tenant', 'cost', 'job')
  local state = after(t[1], 'readopt')
  if state then
    unqueue(attempt.task, t[2], t[3])
    redis.call('HSET', task, 'state', state, 'grant', attempt.grant)
  end
  hold(executor, attempt.grant, t[4], attempt.task)
end

local function settle(attempt)
  local standing, executor = read_grant(attempt.task, attempt.grant)
  local state = redis.call('HGET', P .. 'task:' .. attempt.task, 'state')
  if not standing or standing == 'revoked' or standing == 'won' or FINAL[state] then return false end
  if redis.call('EXISTS', P .. 'executor:' .. executor) == 0 then return false end
  if standing == 'lost' then readopt(attempt, executor) end
  if standing == 'reserved' then
    redis.call('HSET', P .. 'task:' .. attempt.task, 'state', after(state, 'ack'))
    forget_timers(attempt.task, attempt.grant)
  end
  mark_grant(attempt.task, attempt.grant, 'running', executor)
  return true
end

for _, attempt in ipairs(A.announced) do
  local list = settle(attempt) and keep or drop
  list[#list + 1] = attempt
end
local draining = A.draining or redis.call('HGET', key, 'drained') == '1'
redis.call('HSET', key, 'doc', A.doc, 'instance', A.instance, 'incarnation', A.incarnation, 'seen', NOW,
  'state', draining and 'draining' or 'ready')
redis.call('HSETNX', key, 'registered', NOW)
redis.call('ZADD', P .. 'nodes', NOW, A.node)
redis.call('ZREM', P .. 'due', 'forget-node|' .. A.node)
redis.call('ZADD', P .. 'due', NOW + A.lease_ms, 'node|' .. A.node)
list_executors(A.node, not draining)
emit('node.registered', 'node', A.node)
return cmsgpack.pack({epoch = redis.call('HINCRBY', key, 'epoch', 1), keep = keep, drop = drop, lost = lost,
  draining = draining, queues = touched_queues()})
