-- Tasks that no executor has may be taken back, whoever had them before: whatever still comes of an earlier attempt
-- finds no task, and is told to stop or forgotten. A task that is not there has been taken back already.
local function may_take_back(tasks)
  for _, id in ipairs(tasks) do
    local state = redis.call('HGET', P .. 'task:' .. id, 'state')
    if state and state ~= 'NEW' and state ~= 'CANCELLED' then return false end
  end
  return true
end

-- How long what is left of a task may hold slots: until its node confirms that it stopped, or is lost.
local REMAINS_MS = 3600000

-- By its record slots find back to whom they belong.
local function remove(t)
  redis.call('DEL', t.key .. ':children')
  if not t.attempt or not holds_slots(t.id) then return redis.call('DEL', t.key) end
  redis.call('HSET', t.key, 'state', 'CANCELLED', 'grant', '')
  redis.call('PEXPIRE', t.key, REMAINS_MS)
end

-- Removes them as if they had never been; returns how many there were, and their weight together.
local function take_back(tasks)
  local count, weight = 0, 0
  for _, id in ipairs(tasks) do
    local t = read_task(id, {'state', 'attempt'})
    if t.state == 'NEW' then
      unqueue(t)
      forget_limits(t)
      count_open(t, -1)
      count_tasks(t.queue, -1)
      redis.call('LREM', P .. 'job:' .. t.job .. ':tasks', 1, id)
      remove(t)
      count, weight = count + 1, weight + tonumber(t.weight)
    end
  end
  return count, weight
end
