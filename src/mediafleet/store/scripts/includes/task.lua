-- A task is created once: its id follows from its name, so a plan may name it again.
-- `t` = {id, name, job, queue, tenant, cost, score, doc, after, waits, not_before (ms), max_tries, total_ms, weight,
--   limits (rule.lua)}
local created = {}

-- Lists are often empty, and an empty one takes no field.
local function add_list(fields, name, items)
  if items[1] then add_pair(fields, name, table.concat(items, ' ')) end
end

-- Returns whether it was not there before; the caller lists it in its job. `is_known` = no such task can be there;
-- `gate` = its job waits for other jobs (follow.lua).
local function create_task(t, is_known, gate)
  local key = P .. 'task:' .. t.id
  if created[t.id] or (not is_known and redis.call('EXISTS', key) == 1) then return false end
  created[t.id] = true
  local fields, deps = {'state', 'NEW', 'doc', t.doc, 'rule', pack_task_rule(t)}, 0
  if t.after[1] or t.waits[1] or gate then
    deps = count_missing(t.id, t.after, t.waits) + (gate and 1 or 0)
    if deps > 0 then add_pair(fields, 'deps', deps) end
    add_list(fields, 'after', t.after)
    add_list(fields, 'waits', t.waits)
  end
  add_list(fields, 'near', t.near)
  if t.not_before > 0 then add_pair(fields, 'not_before', t.not_before) end
  redis.call('HSET', key, unpack(fields))
  count_tasks(t.queue, 1)
  count_open(t, 1)
  start_task_deadline(t, true)
  if deps == 0 then admit(t) end
  return true
end

-- Creates a job's tasks and lists them; returns how many are new, their weight together, and whether any waits for
-- another. `is_new` = the job was not there before.
local function create_tasks(job, tasks, is_new, gate)
  local ids, weight, is_graph = {}, 0, false
  for _, task in ipairs(tasks) do
    if create_task(task, is_new, gate) then
      ids[#ids + 1] = task.id
      weight = weight + task.weight
      is_graph = is_graph or task.after[1] ~= nil
    end
  end
  call_in_parts('RPUSH', P .. 'job:' .. job .. ':tasks', ids)
  return #ids, weight, is_graph
end

local function create_queues()
  for id, doc in pairs(A.queues) do redis.call('HSETNX', P .. 'queues', id, doc) end
end
