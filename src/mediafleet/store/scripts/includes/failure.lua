-- An attempt failed through the task's own fault: one try is spent, and either it waits for the
-- next, or the task fails for good. `delays[n]` is the wait after try n, milliseconds.
local function spend_try(task, grant, failure)
  local key = P .. 'task:' .. task
  local _, executor = read_grant(task, grant)
  release(executor, grant)
  forget_timers(task, grant)
  mark_grant(task, grant, 'revoked', executor)
  local t = redis.call('HMGET', key, 'grant', 'state', 'max_tries', 'job', 'name')
  if t[1] ~= grant then return 'stale' end
  local tries = redis.call('HINCRBY', key, 'tries', 1)
  redis.call('HSET', key, 'error', failure.error)
  if failure.retryable and tries < tonumber(t[3]) then
    exclude(task, executor)
    requeue(task, 'retry', failure.delays[math.min(tries, #failure.delays)] or 0)
    emit('task.retried', 'job', t[4], failure.error)
    return 'retried'
  end
  redis.call('HSET', key, 'state', after(t[2], 'fail'), 'grant', '')
  count_down(t[4], {error = failure.error, name = t[5]})
  return 'failed'
end
