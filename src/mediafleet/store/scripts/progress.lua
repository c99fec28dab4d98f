-- Records how far running attempts are; those of other than the current grant are ignored.
-- A: updates = [{task, grant, fraction, stage, about = JSON of {stage, speed, eta_ms}, speed, eta_ms}]
-- Returns {stale = count}.
-- @include base
-- @include job
local stale = 0

local function record(update)
  local t = redis.call('HMGET', P .. 'task:' .. update.task, 'grant', 'state', 'job')
  if t[1] ~= update.grant or t[2] ~= 'ACKED' then
    stale = stale + 1
    return
  end
  local job = P .. 'job:' .. t[3]
  set_fraction(update.task, t[3], update.fraction)
  redis.call('HSET', job, 'stage', update.stage, 'eta_ms', update.eta_ms or '', 'speed', update.speed or '')
  set_status(t[3], update.stage == 'fetching' and 'uploading' or 'processing')
  local now = redis.call('HMGET', job, 'progress', 'status')
  emit('job.progressed', 'job', t[3], '{"status":"' .. now[2] .. '","progress":' .. (now[1] or '0') .. ',' .. string.sub(update.about, 2))
end

for _, update in ipairs(A.updates) do record(update) end
return cmsgpack.pack({stale = stale})
