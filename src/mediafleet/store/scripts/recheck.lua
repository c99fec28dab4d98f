-- The fleet has changed for jobs whose chains wait: their plans look again. Those that have ended are taken off the list.
-- A: jobs = [ids] (at most some hundreds), plan = false to take off only
-- Returns {dirty = how many will be planned}.
-- @include base events scores
local FINAL = {completed = true, failed = true, cancelled = true}
local dirty = 0
for _, job in ipairs(A.jobs) do
  local status = redis.call('HGET', P .. 'job:' .. job, 'status')
  if not status or FINAL[status] then
    redis.call('HDEL', P .. 'chains', job)
  elseif A.plan then
    set_score(P .. 'dirty', job, NOW)
    dirty = dirty + 1
  end
end
return reply({dirty = dirty})
