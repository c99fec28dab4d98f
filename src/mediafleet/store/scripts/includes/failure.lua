-- The node that a task should not get again if another has room; the last eight are remembered.
local function exclude(t)
  local node = string.match(t.executor, '^[^/]*')
  local names = {node}
  for name in string.gmatch(t.excluded or '', '%S+') do
    if name ~= node and #names < 8 then names[#names + 1] = name end
  end
  change(t, 'excluded', table.concat(names, ' '))
end

-- No attempt is left, or none may be made: the task is a dead letter, and its job's plan must look.
local function fail_for_good(t, failure)
  change(t, 'error', failure)
  change(t, 'state', after(t.state, 'fail'))
  change(t, 'grant', '')
  save(t)
  forget_limits(t)
  bury(t.id, t.job, failure)
  -- Nodes that still run an older attempt are told at their next heartbeat.
  if tonumber(t.attempt or '0') > 1 then revoke_others(t.id, '', {}) end
  local j = read_job(t.job)
  count_open(t, -1)
  count_down(j, failure)
  save(j)
end

-- An attempt failed through the task's own fault: one try is spent, and either it waits for the
-- next, or the task fails for good. `failure.delays[n]` is the wait after try n, milliseconds;
-- `failure.keep` leaves its slots taken, because the node still has to stop it; `failure.end_as` as in ends.lua.
local function spend_try(t, failure)
  if not failure.keep then release(t.executor, t.this, t) end
  forget_timers(t.id, t.this, t.limits)
  note_end(t, failure.end_as or 'failed')
  mark(t, 'revoked')
  if failure.retryable then strike(t) end
  if t.grant ~= t.this then
    save(t)
    return 'stale'
  end
  local tries = tonumber(t.tries or '0') + 1
  change(t, 'tries', tries)
  change(t, 'error', failure.error)
  if failure.retryable and tries < tonumber(t.max_tries) then
    exclude(t)
    requeue(t, 'retry', failure.delays[math.min(tries, #failure.delays)] or 0)
    save(t)
    emit('task.retried', 'job', t.job, failure.error)
    return 'retried'
  end
  fail_for_good(t, failure.error)
  return 'failed'
end
