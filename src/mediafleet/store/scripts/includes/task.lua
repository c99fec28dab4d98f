-- A task is created once: its id follows from its name, so a plan may name it again.
-- `t` = {id, name, job, queue, tenant, cost, score, doc, after, waits, max_tries, total_ms, weight}
local function create_task(t)
  local key = P .. 'task:' .. t.id
  if redis.call('EXISTS', key) == 1 then return false end
  local deps = 0
  for _, parent in ipairs(t.after) do
    if redis.call('HGET', P .. 'task:' .. parent, 'state') ~= 'DONE' then
      deps = deps + 1
      redis.call('SADD', P .. 'task:' .. parent .. ':children', t.id)
    end
  end
  for _, artifact in ipairs(t.waits) do
    if redis.call('HGET', P .. 'artifact:' .. artifact, 'state') == 'open' then
      deps = deps + 1
      redis.call('SADD', P .. 'artifact:' .. artifact .. ':children', t.id)
    end
  end
  redis.call('HSET', key, 'state', 'NEW', 'name', t.name, 'job', t.job, 'queue', t.queue, 'tenant', t.tenant,
    'cost', t.cost, 'score', t.score, 'doc', t.doc, 'deps', deps, 'max_tries', t.max_tries,
    'total_ms', t.total_ms, 'weight', t.weight, 'after', table.concat(t.after, ' '))
  redis.call('RPUSH', P .. 'job:' .. t.job .. ':tasks', t.id)
  if deps == 0 then enqueue(t.id, t.queue, t.tenant, t.score) end
  return true
end

-- One thing that a task waited for is there.
local function satisfy(child)
  local key = P .. 'task:' .. child
  if redis.call('HINCRBY', key, 'deps', -1) > 0 then return end
  local t = redis.call('HMGET', key, 'state', 'queue', 'tenant', 'score')
  if t[1] == 'NEW' then enqueue(child, t[2], t[3], t[4]) end
end

local function satisfy_children(key)
  for _, child in ipairs(redis.call('SMEMBERS', key)) do satisfy(child) end
  redis.call('DEL', key)
end

local function create_queues()
  for id, doc in pairs(A.queues) do redis.call('HSETNX', P .. 'queues', id, doc) end
end
