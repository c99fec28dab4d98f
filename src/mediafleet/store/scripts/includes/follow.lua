-- Jobs that wait for jobs. `job:<id>:followers` are the jobs that wait for one, `followed` in its record says that there
-- are or were any; `awaits` in a job names those it waits for still. While there are any, each of its tasks has one
-- dependency more, and its plan is not asked. What becomes of them: followers.lua.
local ENDED_BADLY = {failed = true, cancelled = true}

-- Has a job wait for those of the others that are not completed; returns their ids, with spaces between them.
local function follow(id, others)
  local awaits, seen = {}, {}
  for _, other in ipairs(others) do
    local key = P .. 'job:' .. other
    local status = redis.call('HGET', key, 'status')
    if status ~= 'completed' and not seen[other] then
      awaits[#awaits + 1] = other
      redis.call('SADD', key .. ':followers', id)
      if status then redis.call('HSET', key, 'followed', 1) end
      -- One that cannot complete as it is fails those that wait for it: the reaper does so at its next tick.
      if not status or ENDED_BADLY[status] then set_score(P .. 'due', 'follow|' .. other, NOW) end
    end
    seen[other] = true
  end
  return table.concat(awaits, ' ')
end
