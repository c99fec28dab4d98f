-- A job past its deadline fails; its open tasks are swept by the planner that finds it in `dirty`, see cancel.lua.
handle['job-deadline'] = function(job)
  local j = read_job(job)
  if not j.status or FINAL_STATUS[j.status] then return false end
  change(j, 'overdue', 1)
  change(j, 'version', j.version + 1)
  close_job(j, 'failed', 'error', A.deadline_error)
  save(j)
end

-- While nobody could place or report, waiting and standing still are nobody's fault.
IS_LEASE.queued, IS_LEASE.stalled = true, true

handle['queued'] = function(task)
  local t = read_task(task, {'state', 'attempt'})
  if t.state ~= 'NEW' then return false end
  unqueue(t)
  fail_for_good(t, A.queue_error)
end

-- As at the deadline of an attempt: its slots stay taken until the node confirms that it stopped.
handle['stalled'] = function(task, grant, result)
  local t = read_attempt(task, grant)
  if t.standing ~= 'running' then return false end
  spend_try(t, {error = A.stalled_error, retryable = true, delays = A.delays, keep = true, end_as = 'stalled'})
  result.stops[#result.stops + 1] = {task = task, grant = grant, executor = t.executor}
end

handle['task-deadline'] = function(task, _, result)
  local t = read_task(task, {'state', 'attempt'})
  if not t.state or FINAL[t.state] then return false end
  if t.state == 'NEW' then unqueue(t) end
  if t.attempt then revoke_others(task, '', result.stops) end
  fail_for_good(t, A.task_deadline_error)
end

-- Together with those that end in this call, when all is known: a job may wait for many of them.
handle['follow'] = function(job) followed[#followed + 1] = job end
