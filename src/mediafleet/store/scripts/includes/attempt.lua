-- A grant is a field of its task, "grant:<grant>" = "<standing>|<executor>";
-- standing: reserved · running · lost · revoked · won.
local function read_grant(task, grant)
  local record = redis.call('HGET', P .. 'task:' .. task, 'grant:' .. grant)
  if not record then return nil end
  return string.match(record, '^(%a+)|(.*)$')
end

local function mark_grant(task, grant, standing, executor)
  redis.call('HSET', P .. 'task:' .. task, 'grant:' .. grant, standing .. '|' .. executor)
end

local function forget_timers(task, grant)
  redis.call('ZREM', P .. 'due', 'reserve|' .. task .. '|' .. grant, 'deadline|' .. task .. '|' .. grant)
end

-- Puts a task back to NEW, at once or after a delay; `delay` in milliseconds.
local function requeue(task, event, delay)
  local key = P .. 'task:' .. task
  local t = redis.call('HMGET', key, 'state', 'queue', 'tenant', 'score', 'job')
  local state = after(t[1], event)
  if not state then return false end
  redis.call('HSET', key, 'state', state, 'grant', '')
  set_fraction(task, t[5], 0)
  if delay > 0 then
    redis.call('ZADD', P .. 'due', NOW + delay, 'hold|' .. task)
  else
    enqueue(task, t[2], t[3], t[4])
  end
  return true
end

-- The executor that a task should not get again if another has room; the last eight are remembered.
local function exclude(task, executor)
  local key = P .. 'task:' .. task
  local old = redis.call('HGET', key, 'excluded') or ''
  local names = {executor}
  for name in string.gmatch(old, '%S+') do
    if name ~= executor and #names < 8 then names[#names + 1] = name end
  end
  redis.call('HSET', key, 'excluded', table.concat(names, ' '))
end

-- Ends an attempt through no fault of the task; `standing` is lost or revoked.
local function lose(task, grant, standing, delay)
  local _, executor = read_grant(task, grant)
  if not executor then return false end
  release(executor, grant)
  forget_timers(task, grant)
  mark_grant(task, grant, standing, executor)
  if redis.call('HGET', P .. 'task:' .. task, 'grant') ~= grant then return false end
  return requeue(task, 'lose', delay)
end

-- Revokes all grants of a task but one; their slots stay taken until their node confirms.
local function revoke_others(task, winner, stops)
  local fields = redis.call('HGETALL', P .. 'task:' .. task)
  for i = 1, #fields, 2 do
    local grant = string.match(fields[i], '^grant:(.+)$')
    if grant and grant ~= winner then
      local standing, executor = string.match(fields[i + 1], '^(%a+)|(.*)$')
      if standing == 'reserved' or standing == 'running' or standing == 'lost' then
        forget_timers(task, grant)
        mark_grant(task, grant, 'revoked', executor)
        stops[#stops + 1] = {task = task, grant = grant, executor = executor}
      end
    end
  end
end
