-- What the end of jobs does to those that waited for them, as far as one call goes (followers.lua).
-- Returns whether some are left for another call.
local function follow_up(id)
  local key, status = P .. 'job:' .. id .. ':followers', look_at(id)
  -- One that was given another go meanwhile is waited for as before.
  if status ~= '' and not FINAL_STATUS[status] then return false end
  if status ~= 'completed' and not A.dependency_error then return true end
  while follow_room > 0 do
    local follower = redis.call('SPOP', key)
    if not follower then
      drop_score(P .. 'due', 'follow|' .. id)
      return false
    end
    if status == 'completed' then go_on(follower) else give_up(follower, id, status) end
  end
  set_score(P .. 'due', 'follow|' .. id, NOW)
  return true
end

local function follow_ups()
  local left = false
  for _, id in ipairs(followed) do look_at(id) end
  -- Grows: those that fail have followers of their own.
  for _, id in ipairs(followed) do left = follow_up(id) or left end
  return left
end
