-- Tasks that no executor has ever had may be taken back: no grant, result or progress of them exists anywhere.
local function untouched(tasks)
  for _, id in ipairs(tasks) do
    local t = read_task(id, {'state', 'attempt'})
    if t.state and (t.state ~= 'NEW' or t.attempt) then return false end
  end
  return true
end

-- Removes them as if they had never been; returns how many there were.
local function drop_tasks(tasks)
  local dropped = 0
  for _, id in ipairs(tasks) do
    local t = read_task(id, {'state'})
    if t.state then
      unqueue(id, t.queue, t.tenant)
      count_open(t, -1)
      count_tasks(t.queue, -1)
      redis.call('LREM', P .. 'job:' .. t.job .. ':tasks', 1, id)
      redis.call('DEL', t.key, t.key .. ':children')
      dropped = dropped + 1
    end
  end
  return dropped
end
