-- A job's deadline: a field of the job, and an entry of `due` that leaves with the job's end (close_job).
local function set_deadline(job, at)
  if at <= 0 then return end
  redis.call('HSET', P .. 'job:' .. job, 'deadline', at)
  set_score(P .. 'due', 'job-deadline|' .. job, at)
end

-- A job that gets another go keeps a deadline that is still to come; one that has passed was meant for the first go.
local function renew_deadline(j)
  redis.call('HDEL', j.key, 'overdue')
  local at = tonumber(j.deadline or '0')
  if at > NOW then return set_score(P .. 'due', 'job-deadline|' .. j.id, at) end
  redis.call('HDEL', j.key, 'deadline')
end
