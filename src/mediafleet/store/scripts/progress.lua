-- Records how far running attempts are; those of other than the current grant are ignored.
-- A: updates = [{task, grant, fraction (0..1), stage, about = JSON of {stage, speed}, speed, eta_ms}]
-- Returns {stale = count}.
-- @include base events scores record rule job progress
-- @include relief
local stale = 0

-- What a task may be without progress begins anew: at a fraction that rises or another stage, not at mere talk.
local function extend_limit(t, update)
  if limit_of(t, 'progress') == 0 then return end
  local stage = redis.call('HGET', t.key, 'stage')
  if update.fraction <= tonumber(t.fraction or '0') and stage == update.stage then return end
  change(t, 'stage', update.stage)
  start_limit(t, 'progress', 'stalled|' .. t.id .. '|' .. update.grant)
end

local function record(update)
  local t = read_task(update.task, {'grant', 'state', 'fraction'})
  if t.grant ~= update.grant or t.state ~= 'ACKED' then
    stale = stale + 1
    return
  end
  local j = read_job(t.job)
  if not j.status or FINAL_STATUS[j.status] then return end
  extend_limit(t, update)
  set_fraction(t, j, update.fraction)
  save(t)
  change(j, 'stage', update.stage)
  -- What is left of one task is what is left of a job only where it has no other.
  local eta = j.open == 1 and update.eta_ms or nil
  change(j, 'eta_ms', eta or '')
  change(j, 'speed', update.speed or '')
  if j.status ~= 'paused' then move_job(j, update.stage == 'fetching' and 'uploading' or 'processing') end
  save(j)
  local progress = j.progress or redis.call('HGET', j.key, 'progress') or '0'
  emit('job.progressed', 'job', t.job,
    '{"status":"' .. j.status .. '","progress":' .. progress .. ',"eta_ms":' .. (eta and text_of(eta) or 'null') .. ',' ..
    string.sub(update.about, 2))
end

for _, update in ipairs(A.updates) do record(update) end
return reply({stale = stale})
