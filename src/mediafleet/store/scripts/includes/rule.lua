-- What never changes of a task or a job and is needed whenever it moves stands in one field, "rule": fewer fields are
-- fewer bytes in memory and in the append-only file. The job and the name of a task follow from its id.
local function pack_task_rule(t)
  return table.concat({t.queue, t.tenant, t.cost, t.score, t.max_tries, t.total_ms, t.weight}, '|')
end

local function read_task_rule(t)
  t.queue, t.tenant, t.cost, t.score, t.max_tries, t.total_ms, t.weight =
    string.match(t.rule or '', '^([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)$')
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
