-- What waits for a task or an artifact goes on when that is there.
local CHILDREN = 256

local function satisfy(child)
  local t = read_task(child, {'state', 'deps', 'not_before'})
  if t.state ~= 'NEW' or tonumber(t.deps or '0') <= 0 then return end
  if redis.call('HINCRBY', t.key, 'deps', -1) == 0 then admit(t) end
end

-- `what` is task or artifact. Those that are too many for one call are left to the reaper, due at once;
-- returns whether there are any.
local function satisfy_children(what, id)
  local key = P .. what .. ':' .. id .. ':children'
  if redis.call('SCARD', key) == 0 then return false end
  for _, child in ipairs(redis.call('SPOP', key, CHILDREN)) do satisfy(child) end
  if redis.call('EXISTS', key) == 0 then return false end
  set_score(P .. 'due', 'wake|' .. what .. '|' .. id, NOW)
  return true
end
