-- A node is on a link of this instance: settles what it still does against what the store holds.
-- A: node, instance, incarnation, doc, draining, lease_ms, executors = [{id, slots, pool, doc}], pools = {pool id: doc},
--    announced = [{task, grant}] that it runs, or holds a result of
-- Returns {epoch, keep = [{task, grant}], drop = [{task, grant}], lost = count, draining, queues = [touched]}.
-- @include base
-- @include state
-- @include record
-- @include queue
-- @include job
-- @include progress
-- @include capacity
-- @include attempt
-- @include node
-- @include executors
local key = P .. 'node:' .. A.node
local announced, keep, drop = {}, {}, {}
for _, attempt in ipairs(A.announced) do announced[attempt.grant] = true end
local lost = replace_executors(announced)

-- The attempt lost its lease, but nobody has finished the task: it goes on where it is.
local function readopt(t)
  local state = after(t.state, 'readopt')
  if state then
    unqueue(t.id, t.queue, t.tenant)
    change(t, 'state', state)
    change(t, 'grant', t.this)
  end
  hold(t.executor, t.this, t.cost, t.id)
  mark(t, 'running')
end

local function settle(attempt)
  local t = read_attempt(attempt.task, attempt.grant)
  if not t.standing or t.standing == 'revoked' or t.standing == 'won' or FINAL[t.state] then return false end
  if string.match(t.executor, '^[^/]*') ~= A.node or redis.call('EXISTS', P .. 'executor:' .. t.executor) == 0 then
    return false
  end
  if t.standing == 'lost' then readopt(t) end
  if t.standing == 'reserved' then start_attempt(t, after(t.state, 'ack') or t.state) end
  save(t)
  local j = read_job(t.job)
  start_job(j)
  save(j)
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
drop_score(P .. 'due', 'forget-node|' .. A.node)
set_score(P .. 'due', 'node|' .. A.node, NOW + A.lease_ms)
list_executors(A.node, not draining)
emit('node.registered', 'node', A.node)
return reply({epoch = redis.call('HINCRBY', key, 'epoch', 1), keep = keep, drop = drop, lost = lost,
  draining = draining, queues = touched_queues()})
