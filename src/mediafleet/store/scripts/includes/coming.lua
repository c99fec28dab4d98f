-- Room that calls keep which come in several pieces, or in several cells: asked for once, before anything is stored.
-- `coming` has "<until> <class and tenant> <tasks> ..." by call; what nobody brings any more is free again then.
-- A.coming = {call, tasks = {class and tenant: tasks} that further scripts bring, keep_ms}, nil for a call of one script
local stale_calls = {}

-- Returns what other calls keep room for, by class and tenant, and whether this one does.
local function kept_room()
  local others, is_mine, calls = {}, false, redis.call('HGETALL', P .. 'coming')
  for i = 1, #calls, 2 do
    local till, tasks = string.match(calls[i + 1], '^(%d+)(.*)$')
    if tonumber(till) <= NOW then
      stale_calls[#stale_calls + 1] = calls[i]
    elseif A.coming and A.coming.call == calls[i] then
      is_mine = true
    else
      for mark, count in string.gmatch(tasks, ' (%S+) (%d+)') do others[mark] = (others[mark] or 0) + tonumber(count) end
    end
  end
  return others, is_mine
end

local function keep_room()
  if not A.coming then return end
  call_in_parts('HDEL', P .. 'coming', stale_calls)
  local words = {NOW + A.coming.keep_ms}
  for mark, count in pairs(A.coming.tasks) do add_pair(words, mark, count) end
  if #words == 1 then return redis.call('HDEL', P .. 'coming', A.coming.call) end
  redis.call('HSET', P .. 'coming', A.coming.call, table.concat(words, ' '))
  redis.call('PEXPIRE', P .. 'coming', A.coming.keep_ms)
end
