-- Turns reservations into running work: the nodes said that they have it.
-- A: nodes = [{node, epoch, attempts = [{task, grant}]}]
-- Returns {stops = [{task, grant, executor}]}: attempts that the node must end, since they are not theirs any more.
-- @include base events scores state record rule names queue held counts job progress capacity freed grants share ends
-- @include attempt
-- @include relief
local stops = {}

local function commit(t, node)
  if not t.standing or string.match(t.executor, '^[^/]*') ~= node then return false end
  if t.standing == 'running' or t.standing == 'won' then return true end
  local state = after(t.state, 'ack')
  if t.standing ~= 'reserved' or not state then return false end
  start_attempt(t, state)
  save(t)
  local j = read_job(t.job)
  start_job(j)
  save(j)
  return true
end

for _, group in ipairs(A.nodes) do
  local current = redis.call('HGET', P .. 'node:' .. group.node, 'epoch') == tostring(group.epoch)
  for _, attempt in ipairs(group.attempts) do
    local t = current and read_attempt(attempt.task, attempt.grant)
    if not t or not commit(t, group.node) then
      stops[#stops + 1] = {task = attempt.task, grant = attempt.grant, executor = t and t.executor or group.node .. '/'}
    end
  end
end
return reply({stops = stops})
