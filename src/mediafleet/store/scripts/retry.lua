-- Gives a failed or cancelled job another go: what is DONE stays, the rest begins anew.
-- A: job, cursor (0 to begin), piece
-- Returns {status = before, cursor = of the next piece, 0 at the end, queues = [touched]}.
-- @include base events scores state record rule names queue held admit counts job progress missing revive deadline follow
local j = read_job(A.job)
local status = j.status or ''
local begins = A.cursor == 0
-- A cancellation may have come between two pieces: then the rest stays as it is.
if status == '' or begins ~= (status == 'failed' or status == 'cancelled') then
  return reply({status = status, cursor = 0, queues = {}})
end
if begins then
  move_job(j, tonumber(j.uploads or '0') > 0 and 'uploading' or 'pending')
  redis.call('HDEL', j.key, 'error', 'finished', 'eta_ms', 'speed', 'paused', 'pausing')
  change(j, 'stage', '')
  change(j, 'version', j.version + 1)
  drop_score(P .. 'due', 'job|' .. A.job)
  renew_deadline(j)
  local awaits = redis.call('HGET', j.key, 'awaits')
  if awaits and awaits ~= '' then change(j, 'awaits', follow(A.job, words(awaits))) end
  save(j)
  emit('job.revived', 'job', A.job, '{"status":"' .. j.status .. '"}')
end
local cursor = revive_piece(j, A.cursor, A.piece)
-- The fleet may be another by now: chains are laid out anew. Only at the end, or the plan would see what has failed.
if cursor == 0 and redis.call('HEXISTS', j.key, 'chains') == 1 then set_score(P .. 'dirty', A.job, NOW) end
return reply({status = status, cursor = cursor, queues = touched_queues})
