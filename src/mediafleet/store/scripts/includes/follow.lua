-- Jobs that wait for jobs. `job:<id>:followers` are the jobs that wait for one, `followed` in its record says that there
-- are or were any; `awaits` in a job names those it waits for still. While there are any, each of its tasks has one
-- dependency more, and its plan is not asked. What becomes of them: followers.lua.
local ENDED_BADLY = {failed = true, cancelled = true}

-- Thousands of a call may wait for the same ones: those are read once, and their followers written at the end.
local leaders, new_followers = {}, {}

-- Whether a job that is waited for has completed.
local function lead(other)
  local key = P .. 'job:' .. other
  local status = redis.call('HGET', key, 'status')
  leaders[other] = status == 'completed'
  if leaders[other] then return end
  new_followers[other] = {}
  if status then redis.call('HSET', key, 'followed', 1) end
  -- One that cannot complete as it is fails those that wait for it: the reaper does so at its next tick.
  if not status or ENDED_BADLY[status] then set_score(P .. 'due', 'follow|' .. other, NOW) end
end

-- Has a job wait for those of the others that are not completed; returns their ids, with spaces between them.
local function follow(id, others)
  local awaits, seen = {}, {}
  for _, other in ipairs(others) do
    if leaders[other] == nil then lead(other) end
    if not leaders[other] and not seen[other] then
      awaits[#awaits + 1] = other
      table.insert(new_followers[other], id)
    end
    seen[other] = true
  end
  return table.concat(awaits, ' ')
end

before_write[#before_write + 1] = function()
  for other, ids in pairs(new_followers) do call_in_parts('SADD', P .. 'job:' .. other .. ':followers', ids) end
end
