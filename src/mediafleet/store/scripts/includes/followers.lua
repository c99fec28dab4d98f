-- A job has ended: those that waited for it (follow.lua) go on if it completed, and fail otherwise.
-- A: dependency_error (JSON, with {job} and {how} to be filled in; where it is nil, failing is left to the reaper)

-- How many jobs and tasks one call may touch; the rest is left to the reaper, due at once.
local followers_left = 256

-- Returns the rest of `awaits`, or nil if `other` is not in it: an entry of before a retry.
local function awaits_without(j, other)
  local rest, is_there = {}, false
  for id in string.gmatch(redis.call('HGET', j.key, 'awaits') or '', '%S+') do
    if id == other then is_there = true else rest[#rest + 1] = id end
  end
  return is_there and table.concat(rest, ' ') or nil
end

-- Also for a job that has ended: what it waits for when it gets another go is what never completed.
local function go_on(j, other)
  local awaits = awaits_without(j, other)
  if not awaits then return end
  change(j, 'awaits', awaits)
  save(j)
  if awaits ~= '' or FINAL_STATUS[j.status] then return end
  -- Those of its submission at most: a job that waits is given no others.
  local tasks = redis.call('LRANGE', j.key .. ':tasks', 0, -1)
  for _, task in ipairs(tasks) do satisfy(task) end
  followers_left = followers_left - #tasks
  if j.open == 0 or j.version > 1 then set_score(P .. 'dirty', j.id, NOW) end
end

local function give_up(j, other, how)
  if FINAL_STATUS[j.status] or not awaits_without(j, other) then return end
  change(j, 'version', j.version + 1)
  local words = {job = other, how = how == 'cancelled' and 'was cancelled' or how == 'failed' and how or 'is gone'}
  close_job(j, 'failed', 'error', (string.gsub(A.dependency_error, '{(%l+)}', words)))
  save(j)
end

-- Returns whether some are left for another call.
local function follow_up(id)
  local key = P .. 'job:' .. id
  local status = redis.call('HGET', key, 'status')
  -- One that was given another go meanwhile is waited for as before.
  if status and not FINAL_STATUS[status] then return false end
  if status ~= 'completed' and not A.dependency_error then return true end
  while followers_left > 0 do
    local follower = redis.call('SPOP', key .. ':followers')
    if not follower then
      drop_score(P .. 'due', 'follow|' .. id)
      return false
    end
    followers_left = followers_left - 1
    local j = read_job(follower)
    if status == 'completed' then go_on(j, id) elseif j.status then give_up(j, id, status) end
  end
  set_score(P .. 'due', 'follow|' .. id, NOW)
  return true
end

local function follow_ups() for _, id in ipairs(followed) do follow_up(id) end end
