-- A node is on a link of this instance: settles what it still does against what the store holds.
-- A: node, instance, incarnation, doc, draining, lease_ms, executors = [{id, slots, pool, doc}], pools = {pool id: doc},
--    warming, pressed, ailing (see stand.lua), load (JSON), announced = [{task, grant}] that it runs, or holds a result of,
--    max_kills, poison_error (see kill.lua)
-- Returns {epoch, keep = [{task, grant}], drop = [{task, grant}], lost = count, draining, queues = [touched], freed (see freed.lua),
--   dead = {code of the error: new dead letters}}.
-- @include base events scores state nodestate record rule names queue held counts job settle progress capacity freed grants share ends
-- @include attempt lose revoke dead unhold pools health shape breaker
-- @include failure kill doubt node stand executors announced
-- @include relief
local key = P .. 'node:' .. A.node
local announced, keep, drop = {}, {}, {}
for _, attempt in ipairs(A.announced) do announced[attempt.grant] = true end
local is_new_process = redis.call('HGET', key, 'incarnation') ~= A.incarnation
local lost = replace_executors(announced, is_new_process)

for _, attempt in ipairs(A.announced) do
  local list = settle(attempt) and keep or drop
  list[#list + 1] = attempt
end
settle_doubts(A.node, function(grant) return is_new_process and not announced[grant] end)
redis.call('HSET', key, 'doc', A.doc, 'instance', A.instance, 'incarnation', A.incarnation, 'seen', NOW, 'load', A.load,
  'lease', A.lease_ms, 'leaving', A.draining and '1' or '0', 'warming', A.warming and '1' or '0', 'pressed', A.pressed, 'ailing', A.ailing)
local state = standing_of(A.node)
redis.call('HSET', key, 'state', state)
redis.call('HSETNX', key, 'registered', NOW)
redis.call('ZADD', P .. 'nodes', NOW, A.node)
drop_score(P .. 'due', 'forget-node|' .. A.node)
set_score(P .. 'due', 'node|' .. A.node, NOW + A.lease_ms)
list_executors(A.node, state == 'ready')
emit('node.registered', 'node', A.node)
return reply({epoch = redis.call('HINCRBY', key, 'epoch', 1), keep = keep, drop = drop, lost = lost,
  draining = state == 'draining', queues = touched_queues, freed = freed_capacity(), dead = dead_codes})
