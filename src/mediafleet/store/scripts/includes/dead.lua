-- Dead letters: tasks that failed for good, by time. The list is bounded, the oldest go first; a letter leaves with a
-- retry, with its job, or when it is dropped.
-- `dead_codes` counts them by the code of their error, for the reply.
local MOST_DEAD, dead_codes = 10000, {}

local function bury(task, job, failure)
  set_score(P .. 'dead', task, NOW)
  local code = string.match(failure, '"code":"([%w-]+)"') or ''
  dead_codes[code] = (dead_codes[code] or 0) + 1
  emit('task.dead', 'job', job, '{"task":' .. cjson.encode(task) .. ',"error":' .. failure .. '}')
end

after_write[#after_write + 1] = function()
  if next(dead_codes) then redis.call('ZREMRANGEBYRANK', P .. 'dead', 0, -MOST_DEAD - 1) end
end
