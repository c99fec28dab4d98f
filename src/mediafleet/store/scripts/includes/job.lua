-- A job's status is mirrored in one index a status, by time of creation.
local FINAL_STATUS = {completed = true, failed = true, cancelled = true}

-- Jobs that end in this call and that others wait for: followers.lua, in this call or in the reaper's next.
local followed = {}

local function read_job(id)
  local j = read_record(P .. 'job:' .. id, {'status', 'rule', 'open', 'version', 'outcome_of', 'weight', 'done_weight',
    'reviving', 'started', 'uploads', 'deadline', 'graph', 'stage', 'followed', 'reviews'})
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
  if j.followed then
    followed[#followed + 1] = j.id
    set_score(P .. 'due', 'follow|' .. j.id, NOW)
  end
  emit('job.' .. status, 'job', j.id, data or text)
end
