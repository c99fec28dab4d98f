-- What never changes of a task or a job and is needed whenever it moves stands in one field, "rule": fewer fields are
-- fewer bytes in memory and in the append-only file. The job and the name of a task follow from its id.
local function pack_task_rule(t)
  local rule = table.concat({t.queue, t.tenant, t.cost, t.score, t.max_tries, t.total_ms, t.weight}, '|')
  return (t.limits or '') ~= '' and rule .. '|' .. t.limits or rule
end

local function read_task_rule(t)
  t.queue, t.tenant, t.cost, t.score, t.max_tries, t.total_ms, t.weight, t.limits =
    string.match(t.rule or '', '^([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|?(.*)$')
  t.job = string.match(t.id, '^[^.]*')
end

local function read_task(id, fields)
  fields[#fields + 1] = 'rule'
  local t = read_record(P .. 'task:' .. id, fields)
  t.id = id
  read_task_rule(t)
  return t
end

local function pack_job_rule(j) return table.concat({j.created, j.retention_ms, j.tenant, j.kind}, '|') end

local function read_job_rule(j)
  j.created, j.retention_ms, j.tenant, j.kind = string.match(j.rule or '', '^([^|]*)|([^|]*)|([^|]*)|(.*)$')
end

-- Limits that few tasks have, behind all else in the rule: "accept,queue,progress,deadline", 0 for none. Tasks that
-- have none of them pay for a comparison.
local LIMITS = {accept = 1, queue = 2, progress = 3, deadline = 4}

local function limit_of(t, name)
  if not t.limits or t.limits == '' then return 0 end
  local values = {}
  for value in string.gmatch(t.limits, '%d+') do values[#values + 1] = tonumber(value) end
  return values[LIMITS[name]] or 0
end

-- `what` names the entry of `due`; a limit of 0 sets none.
local function start_limit(t, name, what)
  local limit = limit_of(t, name)
  if limit > 0 then set_score(P .. 'due', what, NOW + limit) end
end

-- One that has passed ends a new task at the next tick; of a task that is revived it was meant for the first go.
local function start_task_deadline(t, is_new)
  local at = limit_of(t, 'deadline')
  if at > (is_new and 0 or NOW) then set_score(P .. 'due', 'task-deadline|' .. t.id, at) end
end

-- The task is final.
local function forget_limits(t)
  if t.limits == '' then return end
  drop_score(P .. 'due', 'queued|' .. t.id)
  drop_score(P .. 'due', 'task-deadline|' .. t.id)
end
