-- Lets a paused job go on. In pieces of A.piece tasks: call again until nothing is left. Safe to repeat.
-- A: job, first = of these calls, piece
-- Returns {status = before, left = tasks of it are held still, queues = [touched]}.
-- @include base events scores state record rule names queue held counts job progress capacity freed grants share ends
-- @include attempt lose revoke pools interrupt halt
-- @include relief
local j = read_job(A.job)
local status = j.status or ''
-- It may have ended, or been paused anew, between two pieces.
if status == '' or FINAL_STATUS[status] or (status == 'paused' and not A.first) then
  return reply({status = status, left = false, queues = {}})
end
if status == 'paused' then
  local since = tonumber(redis.call('HGET', j.key, 'paused') or NOW)
  local is_uploading = tonumber(j.uploads or '0') > 0 and not j.started
  move_job(j, is_uploading and 'uploading' or j.started and 'processing' or 'pending')
  change(j, 'version', j.version + 1)
  change(j, 'rested', tonumber(redis.call('HGET', j.key, 'rested') or '0') + NOW - since)
  if j.deadline then
    change(j, 'deadline', tonumber(j.deadline) + NOW - since)
    set_score(P .. 'due', 'job-deadline|' .. j.id, j.deadline)
  end
  save(j)
  -- Its plan knows whether it waits for a person.
  if (j.reviews or '') ~= '' then set_score(P .. 'dirty', j.id, NOW) end
  redis.call('HDEL', j.key, 'paused', 'pausing')
  drop_score(P .. 'due', 'pause|' .. j.id)
  emit('job.resumed', 'job', j.id, '{"status":"' .. j.status .. '"}')
end
paused_jobs[j.id] = false
return reply({status = status, left = release_piece(j, A.piece), queues = touched_queues})
