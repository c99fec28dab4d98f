-- Moves node leases forward and compares what the nodes run with what the store holds.
-- A: lease_ms, nodes = [{node, epoch, load (JSON), running = [{task, grant}]}]
-- Returns {unknown = [nodes that must register again], stops = [{task, grant, executor}]}.
-- @include base
local unknown, stops = {}, {}

local function renew(report)
  local key = P .. 'node:' .. report.node
  local n = redis.call('HMGET', key, 'epoch', 'state')
  if n[1] ~= tostring(report.epoch) or n[2] == 'offline' or n[2] == 'unlinked' then return false end
  set_score(P .. 'due', 'node|' .. report.node, NOW + A.lease_ms)
  redis.call('HSET', key, 'seen', NOW, 'load', report.load)
  for _, attempt in ipairs(report.running) do
    local grant = redis.call('HGET', P .. 'task:' .. attempt.task, 'grant:' .. attempt.grant) or ''
    local standing = string.match(grant, '^%a+')
    if standing ~= 'running' and standing ~= 'reserved' then
      stops[#stops + 1] = {task = attempt.task, grant = attempt.grant, executor = report.node .. '/'}
    end
  end
  return true
end

for _, report in ipairs(A.nodes) do
  if not renew(report) then unknown[#unknown + 1] = report.node end
end
return reply({unknown = unknown, stops = stops})
