-- Dead letters: tasks that failed for good, by time. The list is bounded, the oldest go first; a letter leaves with a
-- retry, with its job, or when it is dropped.
local MOST_DEAD, buried = 10000, false

local function bury(task)
  set_score(P .. 'dead', task, NOW)
  buried = true
end

after_write[#after_write + 1] = function()
  if buried then redis.call('ZREMRANGEBYRANK', P .. 'dead', 0, -MOST_DEAD - 1) end
end
