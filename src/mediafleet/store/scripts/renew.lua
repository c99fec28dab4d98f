-- Moves node leases forward and compares what the nodes run with what the store holds.
-- A: lease_ms, nodes = [{node, epoch, load (JSON), running = [{task, grant}]}]
-- Returns {unknown = [nodes that must register again], stops = [{task, grant, executor}]}.
-- @include base
-- @include state
-- @include queue
-- @include job
-- @include capacity
-- @include attempt
local unknown, stops = {}, {}

local function renew(report)
  local key = P .. 'node:' .. report.node
  local n = redis.call('HMGET', key, 'epoch', 'state')
  if n[1] ~= tostring(report.epoch) or n[2] == 'offline' then return false end
  redis.call('ZADD', P .. 'due', 'XX', NOW + A.lease_ms, 'node|' .. report.node)
  redis.call('HSET', key, 'seen', NOW, 'load', report.load)
  for _, attempt in ipairs(report.running) do
    local standing = read_grant(attempt.task, attempt.grant)
    if standing ~= 'running' and standing ~= 'reserved' then
      stops[#stops + 1] = {task = attempt.task, grant = attempt.grant, executor = report.node .. '/'}
    end
  end
  return true
end

for _, report in ipairs(A.nodes) do
  if not renew(report) then unknown[#unknown + 1] = report.node end
end
return cmsgpack.pack({unknown = unknown, stops = stops})
