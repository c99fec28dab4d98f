-- Pauses a job: what runs of it finishes, or is stopped at once; nothing of it starts any more when the last piece is done. In
-- pieces of A.piece tasks. Safe to repeat; what is paused already may be stopped at once so.
-- A: job, cursor (0 to begin), piece, stop = running attempts are stopped as well
-- Returns {status = before, cursor = of the next piece, 0 at the end, stops = [{task, grant, executor}]}.
-- @include base events scores state record rule names queue held counts job progress capacity freed grants share ends
-- @include attempt lose revoke pools interrupt halt
-- @include relief
local j, stops = read_job(A.job), {}
local status = j.status or ''
-- The job may have ended, or gone on, between two pieces: then the rest stays as it is.
if status == '' or FINAL_STATUS[status] or (A.cursor > 0 and status ~= 'paused') then
  return reply({status = status, cursor = 0, stops = stops})
end
if status ~= 'paused' then
  move_job(j, 'paused')
  change(j, 'paused', NOW)
  change(j, 'version', j.version + 1)
  -- Its time stands still, see resume.lua.
  if j.deadline then drop_score(P .. 'due', 'job-deadline|' .. j.id) end
  drop_score(P .. 'due', 'resume|' .. j.id)
  save(j)
  emit('job.paused', 'job', j.id, '{"status":"paused","now":' .. tostring(A.stop) .. '}')
end
paused_jobs[j.id] = true
local cursor = halt_piece(j, A.cursor, A.piece, A.stop, stops)
return reply({status = status, cursor = cursor, stops = stops})
