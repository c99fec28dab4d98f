-- What the attempts of a job's tasks do to the job while it goes on.
local function start_job(j)
  -- What was on its way to its node when the job was paused.
  if j.status == 'paused' and not j.started then change(j, 'started', NOW) end
  if j.status ~= 'pending' and j.status ~= 'uploading' and j.status ~= 'review' then return end
  move_job(j, 'processing')
  if not j.started then
    change(j, 'started', NOW)
    emit('job.started', 'job', j.id, '{"status":"processing"}')
  end
end

-- A job's progress is the weighted mean of its tasks' fractions, kept by difference.
-- `t` needs fraction and weight, `j` weight and done_weight. `is_between` = nothing of the job is open and its plan will say
-- what comes next: where that is not counted in its weight, its progress would go up to all and back again.
local function set_fraction(t, j, fraction, is_between)
  local moved = (fraction - tonumber(t.fraction or '0')) * tonumber(t.weight or '1')
  if moved == 0 then return end
  change(t, 'fraction', fraction)
  local done = tonumber(j.done_weight or '0') + moved
  change(j, 'done_weight', done)
  local share = done / math.max(tonumber(j.weight or '1'), 1e-9)
  if FINAL_STATUS[j.status] or (is_between and share > 1 - 1e-9) then return end
  change(j, 'progress', math.max(0, math.min(1, share)))
end
