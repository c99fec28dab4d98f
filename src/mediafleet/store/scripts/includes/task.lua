-- A task is created once: its id follows from its name, so a plan may name it again.
-- `t` = {id, name, job, queue, tenant, cost, score, doc, after, waits, not_before (ms), max_tries, total_ms, weight,
--   limits (rule.lua)}
local created = {}

-- Notes what the task must wait for; returns how many things. What is named twice counts once.
local function count_missing(id, after_ids, waits)
  local missing, seen = 0, {}
  for _, parent in ipairs(after_ids) do
    if not seen[parent] and redis.call('HGET', P .. 'task:' .. parent, 'state') ~= 'DONE' then
      redis.call('SADD', P .. 'task:' .. parent .. ':children', id)
      missing = missing + 1
    end
    seen[parent] = true
  end
  for _, artifact in ipairs(waits) do
    if not seen[artifact] and redis.call('HGET', P .. 'artifact:' .. artifact, 'state') == 'open' then
      redis.call('SADD', P .. 'artifact:' .. artifact .. ':children', id)
      missing = missing + 1
    end
    seen[artifact] = true
  end
  return missing
end

-- Returns whether it was not there before; the caller lists it in its job.
local function create_task(t)
  local key = P .. 'task:' .. t.id
  if created[t.id] or redis.call('EXISTS', key) == 1 then return false end
  created[t.id] = true
  local deps = count_missing(t.id, t.after, t.waits)
  redis.call('HSET', key, 'state', 'NEW', 'doc', t.doc, 'rule', pack_task_rule(t))
  if deps > 0 then redis.call('HSET', key, 'deps', deps) end
  for _, field in ipairs({'after', 'waits', 'near'}) do
    if #t[field] > 0 then redis.call('HSET', key, field, table.concat(t[field], ' ')) end
  end
  if t.not_before > 0 then redis.call('HSET', key, 'not_before', t.not_before) end
  count_tasks(t.queue, 1)
  count_open(t, 1)
  start_task_deadline(t, true)
  if deps == 0 then admit(t) end
  return true
end

-- Creates a job's tasks and lists them; returns how many are new, and their weight together.
local function create_tasks(job, tasks)
  local ids, weight = {}, 0
  for _, task in ipairs(tasks) do
    if create_task(task) then
      ids[#ids + 1] = task.id
      weight = weight + task.weight
    end
  end
  call_in_parts('RPUSH', P .. 'job:' .. job .. ':tasks', ids)
  return #ids, weight
end

local function create_queues()
  for id, doc in pairs(A.queues) do redis.call('HSETNX', P .. 'queues', id, doc) end
end
