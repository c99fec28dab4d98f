-- The node may never have got it, and then has nothing to confirm: its slots come back when the reservation would have
-- ended.
local function let_end(task, grant)
  local ends = redis.call('ZSCORE', P .. 'due', 'reserve|' .. task .. '|' .. grant)
  if ends then set_score(P .. 'due', 'idle|' .. task .. '|' .. grant, tonumber(ends)) end
end

-- Revokes all grants of a task but one; their slots stay taken until their node confirms.
-- `stops` gets what the nodes must be told.
local function revoke_others(task, winner, stops)
  local fields = redis.call('HGETALL', P .. 'task:' .. task)
  for i = 1, #fields, 2 do
    local grant = string.match(fields[i], '^grant:(.+)$')
    local standing, executor = string.match(fields[i + 1], '^(%a+)|(.*)$')
    if grant and grant ~= winner and (is_live(standing) or standing == 'lost') then
      if standing == 'reserved' then let_end(task, grant) end
      forget_timers(task, grant)
      redis.call('HSET', P .. 'task:' .. task, fields[i], 'revoked|' .. executor)
      stops[#stops + 1] = {task = task, grant = grant, executor = executor}
    end
  end
end
