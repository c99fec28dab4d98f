-- Tasks that no executor has may be taken back, whoever had them before: whatever still comes of an earlier attempt
-- finds no task, and is told to stop or forgotten. A task that is not there has been taken back already.
local function may_take_back(tasks)
  for _, id in ipairs(tasks) do
    local state = redis.call('HGET', P .. 'task:' .. id, 'state')
    if state and state ~= 'NEW' then return false end
  end
  return true
end

-- Removes them as if they had never been; returns how many there were.
local function take_back(tasks)
  local count = 0
  for _, id in ipairs(tasks) do
    local t = read_task(id, {'state'})
    if t.state then
      unqueue(t)
      forget_limits(t)
      count_open(t, -1)
      count_tasks(t.queue, -1)
      redis.call('LREM', P .. 'job:' .. t.job .. ':tasks', 1, id)
      redis.call('DEL', t.key, t.key .. ':children')
      count = count + 1
    end
  end
  return count
end
