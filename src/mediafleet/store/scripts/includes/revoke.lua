-- Revokes all grants of a task but one; their slots stay taken until their node confirms.
-- `stops` gets what the nodes must be told.
local function revoke_others(task, winner, stops)
  local fields = redis.call('HGETALL', P .. 'task:' .. task)
  for i = 1, #fields, 2 do
    local grant = string.match(fields[i], '^grant:(.+)$')
    local standing, executor = string.match(fields[i + 1], '^(%a+)|(.*)$')
    if grant and grant ~= winner and (is_live(standing) or standing == 'lost') then
      forget_timers(task, grant)
      redis.call('HSET', P .. 'task:' .. task, fields[i], 'revoked|' .. executor)
      stops[#stops + 1] = {task = task, grant = grant, executor = executor}
    end
  end
end
