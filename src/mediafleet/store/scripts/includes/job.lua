-- A job's status is mirrored in one index a status, by time of creation.
local FINAL_STATUS = {completed = true, failed = true, cancelled = true}
local NO_RESULT = '{"code":"no-result","message":"The plan named a task for the job\'s result that did not give one."}'

-- Of tasks that finish in this call.
local results = {}

local function read_job(id)
  local j = read_record(P .. 'job:' .. id, {'status', 'rule', 'open', 'version', 'outcome_of', 'weight', 'done_weight',
    'reviving', 'started', 'uploads', 'deadline', 'graph', 'stage'})
  read_job_rule(j)
  j.id, j.open, j.version = id, tonumber(j.open or '0'), tonumber(j.version or '0')
  return j
end

local function move_job(j, status)
  if not j.status or j.status == status then return end
  drop_score(P .. 'jobs:' .. j.status, j.id)
  set_score(P .. 'jobs:' .. status, j.id, j.created)
  change(j, 'status', status)
end

-- Ends a job. Tasks that are still open are swept by whoever finds the job in `dirty`.
local function close_job(j, status, field, text, data)
  move_job(j, status)
  if j.reviving then drop_score(P .. 'due', 'revive|' .. j.id) end
  if j.deadline then drop_score(P .. 'due', 'job-deadline|' .. j.id) end
  change(j, 'finished', NOW)
  change(j, field, text)
  if status == 'completed' then
    change(j, 'progress', 1)
    if j.stage and j.stage ~= '' then change(j, 'stage', '') end
  end
  set_score(P .. 'due', 'job|' .. j.id, NOW + tonumber(j.retention_ms or '0'))
  set_score(P .. 'dirty', j.id, j.open > 0 and NOW)
  emit('job.' .. status, 'job', j.id, data or text)
end

-- A job that named the task of its outcome ends with it as soon as no task is open.
local function settle_job(j)
  if FINAL_STATUS[j.status] or j.open > 0 or j.reviving or not j.outcome_of or j.outcome_of == '' then return end
  local task = j.id .. '.' .. j.outcome_of
  local result = results[task] or redis.call('HGET', P .. 'task:' .. task, 'result')
  if result then return close_job(j, 'completed', 'result', result) end
  close_job(j, 'failed', 'error', NO_RESULT)
end

-- A task became final: its job's plan must look again, unless the job closes by itself.
local function count_down(j, failure)
  change(j, 'open', j.open - 1)
  change(j, 'version', j.version + 1)
  if not j.status or FINAL_STATUS[j.status] then return end
  if j.outcome_of == '' then
    set_score(P .. 'dirty', j.id, NOW)
  elseif failure then
    close_job(j, 'failed', 'error', failure)
  else
    settle_job(j)
  end
end
