-- A node is on a link of this instance: settles what it still does against what the store holds.
-- A: node, instance, incarnation, doc, draining, lease_ms, executors = [{id, slots, pool, doc}], pools = {pool id: doc},
--    announced = [{task, grant}] that it runs, or holds a result of, max_kills, poison_error (see kill.lua)
-- Returns {epoch, keep = [{task, grant}], drop = [{task, grant}], lost = count, draining, queues = [touched], freed (see capacity.lua),
--   dead = {code of the error: new dead letters}}.
-- @include base events scores state record rule names queue counts job progress capacity freed grants share ends
-- @include attempt lose revoke dead
-- @include failure kill unhold pools node executors announced
-- @include relief
local key = P .. 'node:' .. A.node
local announced, keep, drop = {}, {}, {}
for _, attempt in ipairs(A.announced) do announced[attempt.grant] = true end
local lost = replace_executors(announced)

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
  draining = draining, queues = touched_queues, freed = freed_capacity(), dead = dead_codes})
