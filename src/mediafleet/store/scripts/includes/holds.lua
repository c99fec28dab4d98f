-- Whether any attempt of a task holds slots, ended or not: its node has not confirmed yet that it stopped.
local function holds_slots(task)
  local fields = redis.call('HGETALL', P .. 'task:' .. task)
  for i = 1, #fields, 2 do
    local grant, executor = string.match(fields[i], '^grant:(.+)$'), string.match(fields[i + 1], '|(.*)$')
    if grant and redis.call('HEXISTS', P .. 'executor:' .. executor .. ':grants', grant) == 1 then return true end
  end
  return false
end
