-- How many tasks there are: of each queue, whose description is kept while there is one in whatever state; and open
-- ones (not final) of each class, each tenant and in all, which bound what is accepted: reviews are no work that waits.
local belonging, open_tasks = {}, {}

local function count_tasks(queue, change) belonging[queue] = (belonging[queue] or 0) + change end

local function count_open(t, change)
  if person.queues[t.queue] then return end
  local mark = class_of(t.queue) .. t.tenant
  open_tasks[mark] = (open_tasks[mark] or 0) + change
end

local function write_open(field, change)
  if change ~= 0 and redis.call('HINCRBY', P .. 'open', field, change) <= 0 then redis.call('HDEL', P .. 'open', field) end
end

local function forget_queue(queue)
  for _, name in ipairs({'queues:tasks', 'queues', 'blocked'}) do redis.call('HDEL', P .. name, queue) end
end

before_write[#before_write + 1] = function()
  for queue, change in pairs(belonging) do
    if change ~= 0 and redis.call('HINCRBY', P .. 'queues:tasks', queue, change) <= 0 then forget_queue(queue) end
  end
  for mark, change in pairs(open_tasks) do
    write_open('all', change)
    write_open('class:' .. string.sub(mark, 1, 1), change)
    write_open('tenant:' .. string.sub(mark, 2), change)
  end
end
