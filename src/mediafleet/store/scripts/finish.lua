-- Accepts results: the first of a grant that was not revoked, while the task is not final; answers of people have the
-- grant `person` (review.lua).
-- A: results = [{task, grant, result (JSON), outputs = [artifact ids], did = {pace, size, took_ms} or none}]
-- Returns {verdicts = ['accepted' | 'duplicate' | 'stale'], stops = [{task, grant, executor}], queues = [touched],
--   freed (see freed.lua)}.
-- @include base events scores state record rule names queue held admit counts job settle progress children outputs capacity freed
-- @include grants share ends attempt
-- @include revoke unhold pools health shape breaker followers followups pace review
local stops = {}

local function accept(item)
  local t = read_attempt(item.task, item.grant)
  if not t.standing then return 'stale' end
  -- This comes first: a server at `maxmemory` lets a script go on whose first write frees something.
  release(t.executor, item.grant, t)
  if t.standing == 'won' then return 'duplicate' end
  local state = after(t.state, 'finish')
  if t.standing == 'revoked' then let_go(t) end
  if t.standing == 'revoked' or not state or not may_answer(t) then return 'stale' end
  local is_review = t.standing == 'asked'
  end_timers(t)
  forget_limits(t)
  if t.state == 'NEW' then unqueue(t) end
  if tonumber(t.attempt or '0') > 1 then revoke_others(t.id, t.this, stops) end
  change(t, 'state', state)
  change(t, 'result', item.result)
  results[t.id] = item.result
  change(t, 'grant', item.grant)
  mark(t, 'won')
  if not is_review and is_ailing(read_executor(t.executor)) then forgive(t) end
  local j = read_job(t.job)
  -- A result may come in the same tick as its ack, which is then not written by itself.
  if is_review then note_answer(t, j) else start_job(j) end
  count_down(j)
  if j.status ~= 'completed' then set_fraction(t, j, 1, j.open == 0 and j.outcome_of == '') end
  save(t)
  bind_outputs(item.outputs, t.job)
  if j.graph then satisfy_children('task', t.id) end
  count_open(t, -1)
  save(j)
  if item.did then note_pace(item.did, string.match(t.executor, '^[^/]*')) end
  return 'accepted'
end

local verdicts = {}
for position, item in ipairs(A.results) do verdicts[position] = accept(item) end
follow_ups()
return reply({verdicts = verdicts, stops = stops, queues = touched_queues, freed = freed_capacity()})
