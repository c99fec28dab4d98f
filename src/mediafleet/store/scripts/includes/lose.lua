-- Puts a task back to NEW, at once or after a delay; `delay` in milliseconds.
local function requeue(t, event, delay)
  local state = after(t.state, event)
  if not state then return false end
  change(t, 'state', state)
  change(t, 'grant', '')
  local j = read_job(t.job)
  set_fraction(t, j, 0)
  save(j)
  if delay > 0 then
    set_score(P .. 'due', 'hold|' .. t.id, NOW + delay)
  else
    enqueue(t)
  end
  return true
end

-- Ends an attempt through no fault of the task; `standing` is lost or revoked, `how` as in ends.lua, `delay` the least wait.
-- Returns whether the task waits again: it does not if another attempt is its current one.
local function lose(t, standing, delay, how)
  release(t.executor, t.this, t)
  forget_timers(t.id, t.this, t.limits)
  note_end(t, how)
  mark(t, standing)
  local again = t.grant == t.this and requeue(t, 'lose', math.max(delay, free_wait(t)))
  save(t)
  return again
end
