-- Gives a failed or cancelled job another go: what is DONE stays, the rest begins anew.
-- A: job, cursor (0 to begin), piece
-- Returns {status = before, cursor = of the next piece, 0 at the end, queues = [touched]}.
-- @include base
-- @include state
-- @include record
-- @include queue
-- @include job
-- @include progress
-- @include task
local j = read_job(A.job)
local status = j.status or ''
if A.cursor == 0 then
  if status ~= 'failed' and status ~= 'cancelled' then
    return reply({status = status, cursor = 0, queues = {}})
  end
  move_job(j, 'pending')
  redis.call('HDEL', j.key, 'error', 'finished', 'eta_ms', 'speed')
  change(j, 'stage', '')
  -- A job whose tasks are revived piece by piece must not close in between.
  change(j, 'reviving', '1')
  change(j, 'version', j.version + 1)
  drop_score(P .. 'due', 'job|' .. A.job)
  emit('job.revived', 'job', A.job, '{"status":"pending"}')
end

local function words(text)
  local list = {}
  for word in string.gmatch(text or '', '%S+') do list[#list + 1] = word end
  return list
end

local function revive(id)
  local key = P .. 'task:' .. id
  local t = read_record(key, {'state', 'queue', 'tenant', 'score', 'after', 'waits', 'fraction', 'weight'})
  local state = after(t.state, 'revive')
  if not state then return end
  local deps = count_missing(id, words(t.after), words(t.waits))
  change(t, 'state', state)
  change(t, 'tries', 0)
  change(t, 'excluded', '')
  change(t, 'deps', deps)
  set_fraction(t, j, 0)
  save(t)
  redis.call('HDEL', key, 'error')
  change(j, 'open', j.open + 1)
  if deps == 0 then enqueue(id, t.queue, t.tenant, t.score) end
end

local ids = redis.call('LRANGE', j.key .. ':tasks', A.cursor, A.cursor + A.piece - 1)
for _, id in ipairs(ids) do revive(id) end
local cursor = #ids == A.piece and A.cursor + A.piece or 0
if cursor == 0 then set_score(P .. 'dirty', A.job, NOW) end
save(j)
if cursor == 0 then redis.call('HDEL', j.key, 'reviving') end
return reply({status = status, cursor = cursor, queues = touched_queues()})
