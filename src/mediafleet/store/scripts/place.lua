-- Takes waiting tasks of one queue, gives each an executor with room and a grant, and hands the
-- assignments to the caller, all in one step (policy: least_loaded, see domain/placement.py).
-- A: queue, pools = [{id, slots}], grants = [fresh random grants: at most this many tasks], reserve_ms
-- Returns {assignments = [{task, grant, attempt, executor, cost, job, doc}], waiting = tasks are left,
--   version = of the pool set}.
-- @include base
-- @include state
-- @include record
-- @include turn
-- @include choose
local function take_slots(choice, grant, cost, id)
  local key = P .. 'executor:' .. choice.executor
  redis.call('HSET', key .. ':grants', grant, cost .. '|' .. id)
  local used = redis.call('HINCRBY', key, 'used', cost)
  redis.call('ZADD', P .. 'pool:' .. A.pools[choice.index].id .. ':members', 'XX', used, choice.executor)
  read_head(choice.index)
end

local function assign(t, choice, grant)
  local cost, attempt = tonumber(t.cost), tonumber(t.attempt or '0') + 1
  redis.call('HSET', t.key, 'state', t.placed, 'attempt', attempt, 'grant', grant,
    'grant:' .. grant, 'reserved|' .. choice.executor)
  take_slots(choice, grant, cost, t.id)
  set_score(P .. 'due', 'reserve|' .. t.id .. '|' .. grant, NOW + A.reserve_ms)
  return {task = t.id, grant = grant, attempt = attempt, executor = choice.executor, cost = cost, job = t.job,
    doc = t.doc}
end

-- The next task that can be placed at all; what cannot has no business in a queue.
local function next_task()
  while true do
    local id, turn = peek_task()
    if not id then return nil end
    local t = read_record(P .. 'task:' .. id, {'cost', 'attempt', 'job', 'doc', 'state', 'excluded'})
    t.id, t.placed = id, after(after(after(t.state, 'select'), 'reserve'), 'dispatch')
    if t.placed then return t, turn end
    take_task(turn, 0)
  end
end

for position = 1, #A.pools do read_head(position) end
local assignments = {}
for _, grant in ipairs(A.grants) do
  local t, turn = next_task()
  local choice = t and choose(tonumber(t.cost), t.excluded)
  if not choice then break end
  take_task(turn, tonumber(t.cost))
  assignments[#assignments + 1] = assign(t, choice, grant)
end
local waiting = peek_task() ~= nil
return reply({assignments = assignments, waiting = waiting,
  version = tonumber(redis.call('GET', P .. 'pools:version') or '0')})
