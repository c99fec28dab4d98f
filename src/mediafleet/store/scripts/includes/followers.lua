-- Jobs have ended: those that waited for them (follow.lua) go on if they completed, and fail otherwise.
-- A: dependency_error (JSON, with {job} and {how} to be filled in; where it is nil, failing is left to the reaper)

-- What one call may do: a job or a task counts 8, a name that is waited for no more 1, what is read of names a little.
-- The rest is left to the reaper, due at once.
local follow_room, NAMES_READ = 2048, 256

-- How those of `followed` ended, '' for one that is gone: a job that waits for many of them is looked at once.
local ended = {}

local function look_at(id)
  ended[id] = ended[id] or redis.call('HGET', P .. 'job:' .. id, 'status') or ''
  return ended[id]
end

-- Also for a job that has ended: what it waits for when it gets another go is what never completed.
local function go_on(id)
  local key = P .. 'job:' .. id
  local awaits = redis.call('HGET', key, 'awaits') or ''
  local rest = string.gsub(awaits, '(%S+) ?', function(name)
    if ended[name] ~= 'completed' then return end
    redis.call('SREM', P .. 'job:' .. name .. ':followers', id)
    follow_room = follow_room - 1
    return ''
  end)
  follow_room = follow_room - 8 - #awaits / NAMES_READ
  -- An entry of before a retry.
  if rest == awaits then return end
  redis.call('HSET', key, 'awaits', (string.gsub(rest, ' $', '')))
  if rest ~= '' then return end
  local j = read_job(id)
  if FINAL_STATUS[j.status] then return end
  -- Those of its submission at most: a job that waits is given no others.
  local tasks = redis.call('LRANGE', key .. ':tasks', 0, -1)
  for _, task in ipairs(tasks) do satisfy(task) end
  follow_room = follow_room - 8 * #tasks
  if j.open == 0 or j.version > 1 then set_score(P .. 'dirty', id, NOW) end
end

local function give_up(id, other, how)
  follow_room = follow_room - 8
  local j = read_job(id)
  local awaits = ' ' .. (redis.call('HGET', j.key, 'awaits') or '') .. ' '
  if not j.status or FINAL_STATUS[j.status] or not string.find(awaits, ' ' .. other .. ' ', 1, true) then return end
  change(j, 'version', j.version + 1)
  local words = {job = other, how = how == 'cancelled' and 'was cancelled' or how == 'failed' and how or 'is gone'}
  close_job(j, 'failed', 'error', (string.gsub(A.dependency_error, '{(%l+)}', words)))
  save(j)
end
