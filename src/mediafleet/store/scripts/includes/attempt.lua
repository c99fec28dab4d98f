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

-- Of one grant, whichever it is by now. `limits`: '' where the task has none, nil where nobody has looked.
local function forget_timers(task, grant, limits)
  drop_score(P .. 'due', 'reserve|' .. task .. '|' .. grant)
  drop_score(P .. 'due', 'deadline|' .. task .. '|' .. grant)
  if limits ~= '' then drop_score(P .. 'due', 'stalled|' .. task .. '|' .. grant) end
end

-- Of an attempt that was read: only what can be there.
local function end_timers(t)
  if t.standing == 'reserved' then drop_score(P .. 'due', 'reserve|' .. t.id .. '|' .. t.this) end
  if t.standing == 'running' and tonumber(t.total_ms) > 0 then drop_score(P .. 'due', 'deadline|' .. t.id .. '|' .. t.this) end
  if t.limits ~= '' then drop_score(P .. 'due', 'stalled|' .. t.id .. '|' .. t.this) end
end

-- What was revoked gives its slots back, and needs no end any more (revoke.lua).
local function let_go(t)
  drop_score(P .. 'due', 'idle|' .. t.id .. '|' .. t.this)
  return release(t.executor, t.this, t)
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
