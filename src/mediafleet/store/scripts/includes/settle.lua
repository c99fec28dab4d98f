-- How a job goes on when one of its tasks has ended.
local NO_RESULT = '{"code":"no-result","message":"The plan named a task for the job\'s result that did not give one."}'

-- Of tasks that finish in this call.
local results = {}

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
    -- Whether a person is all that it waits for now its plan knows.
    if (j.reviews or '') ~= '' then set_score(P .. 'dirty', j.id, NOW) end
    settle_job(j)
  end
end
