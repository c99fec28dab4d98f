-- A grant is a field of its task, "grant:<grant>" = "<standing>|<executor>" (docs/decisions/0005);
-- standing: reserved · running · lost · revoked · won. An attempt is its task, read together with one grant.
local function read_attempt(task, grant)
  local t = read_task(task, {'state', 'attempt', 'grant', 'tries', 'fraction', 'excluded', 'grant:' .. grant})
  t.this = grant
  t.standing, t.executor = string.match(t['grant:' .. grant] or '', '^(%a+)|(.*)$')
  return t
end

local function is_live(standing) return standing == 'reserved' or standing == 'running' end

local function mark(t, standing)
  t.standing = standing
  change(t, 'grant:' .. t.this, standing .. '|' .. t.executor)
end

local function forget_timers(task, grant, limits) -- '' where the task has none, nil where nobody has looked
  drop_score(P .. 'due', 'reserve|' .. task .. '|' .. grant)
  drop_score(P .. 'due', 'deadline|' .. task .. '|' .. grant)
  if limits ~= '' then drop_score(P .. 'due', 'stalled|' .. task .. '|' .. grant) end
end

-- The node has the attempt: its lease holds the slots from now on.
local function start_attempt(t, state)
  change(t, 'state', state)
  mark(t, 'running')
  drop_score(P .. 'due', 'reserve|' .. t.id .. '|' .. t.this)
  local total = tonumber(t.total_ms)
  if total > 0 then set_score(P .. 'due', 'deadline|' .. t.id .. '|' .. t.this, NOW + total) end
  start_limit(t, 'progress', 'stalled|' .. t.id .. '|' .. t.this)
end

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

-- Ends an attempt through no fault of the task; `standing` is lost or revoked, `how` as in ends.lua.
-- Returns whether the task waits again: it does not if another attempt is its current one.
local function lose(t, standing, delay, how)
  release(t.executor, t.this, t)
  forget_timers(t.id, t.this, t.limits)
  note_end(t, how)
  mark(t, standing)
  local again = t.grant == t.this and requeue(t, 'lose', delay)
  save(t)
  return again
end
