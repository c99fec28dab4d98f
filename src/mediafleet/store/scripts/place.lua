-- Takes waiting tasks of some queues, gives each an executor with room and a grant, and hands each assignment to the
-- instance that has the node's link, all in one step. Classes go in strict order, but for the minimum share of batch;
-- inside a class the tenant with the least virtual time goes first, whatever queue its task is in.
-- A: instance (the caller), queues = [{id, cost, policy, pools = [positions in A.pools, from 1]}],
--   pools = [{id, slots, reserve, priority}], grants = [fresh random grants: at most this many tasks],
--   draw (0 ≤ draw < 1, for the policy `random`), reserve_ms, batch_every (see order.lua), tenants (see share.lua),
--   hold_after_ms, hold_ms (see hold.lua), inbox_length = about how many messages an inbox keeps
-- Returns {assignments = [{task, grant, attempt, executor, cost, job, doc}] for the caller's own nodes, sent = how many
--   went to inboxes, waiting = [those of the queues that still have tasks], version = of the pool set}.
-- @include base events scores state record rule names queue held capacity freed grants share vtime turn peek most ladder policy
-- @include random choose near hold unhold head
-- @include order next pools health shape trial
-- @include relief
local GOLDEN = 0.6180339887498949
local assignments, sent = {}, 0

local function send(owner, assignment)
  if owner == A.instance then
    assignments[#assignments + 1] = assignment
    return
  end
  sent = sent + 1
  redis.call('XADD', P .. 'inbox:' .. owner, 'MAXLEN', '~', A.inbox_length, '*',
    'node', string.match(assignment.executor, '^[^/]*'), 'assign', cjson.encode(assignment))
end

local function assign(q, t, choice, grant)
  local attempt = tonumber(t.attempt or '0') + 1
  redis.call('HSET', t.key, 'state', t.placed, 'attempt', attempt, 'grant', grant,
    'grant:' .. grant, 'reserved|' .. choice.executor)
  hold(choice.executor, grant, t)
  local e = read_executor(choice.executor)
  note_given(choice, e)
  if choice.held then relist(choice.executor) end
  begin_trial(e, t, grant)
  if q.cost > 1 then redis.call('HDEL', P .. 'blocked', q.id) end
  local accept = limit_of(t, 'accept')
  set_score(P .. 'due', 'reserve|' .. t.id .. '|' .. grant, NOW + (accept > 0 and accept or A.reserve_ms))
  if t.limits ~= '' then drop_score(P .. 'due', 'queued|' .. t.id) end
  send(e.owner or '', {task = t.id, grant = grant, attempt = attempt, job = t.job,
    executor = choice.executor, cost = q.cost, doc = t.doc})
end

open_queues()
for position, grant in ipairs(A.grants) do
  -- Steps of the golden ratio spread evenly from wherever they begin.
  local q, choice = next_placement((A.draw + position * GOLDEN) % 1)
  if not q then break end
  take_task(q, q.turn, q.cost)
  assign(q, q.task, choice, grant)
  q.task = nil
  count_turn(q)
end
return reply({assignments = assignments, sent = sent, waiting = still_waiting(),
  version = tonumber(redis.call('GET', P .. 'pools:version') or '0')})
