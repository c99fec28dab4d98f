-- A task's own deadline stands still with its job: it is looked at again until that goes on.
local LOOK_AGAIN_MS, end_late = 60000, handle['task-deadline']

handle['task-deadline'] = function(task, rest, result)
  local t = read_task(task, {'state'})
  if not t.state or FINAL[t.state] then return false end
  local rested = tonumber(redis.call('HGET', P .. 'job:' .. t.job, 'rested') or '0')
  local at = is_paused(t.job) and NOW + LOOK_AGAIN_MS or limit_of(t, 'deadline') + rested
  if at <= NOW then return end_late(task, rest, result) end
  set_score(P .. 'due', 'task-deadline|' .. task, at)
  return false
end

-- Nor does a task wait too long for an executor while nothing may be placed: its time begins anew.
local end_queued = handle['queued']

handle['queued'] = function(task, rest, result)
  if redis.call('EXISTS', P .. 'paused') == 0 then return end_queued(task, rest, result) end
  start_limit(read_task(task, {}), 'queue', 'queued|' .. task)
  return false
end
