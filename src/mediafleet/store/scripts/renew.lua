-- Moves node leases forward and compares what the nodes run with what the store holds.
-- A: lease_ms, nodes = [{node, epoch, load (JSON), running = [{task, grant}]}]
-- An attempt that its node leaves out of its report ends unless it comes back within a lease (reap).
-- Returns {unknown = [nodes that must register again], stops = [{task, grant, executor}]}.
-- @include base events scores
-- @include relief
local unknown, stops = {}, {}

local function standing_of(task, grant)
  return string.match(redis.call('HGET', P .. 'task:' .. task, 'grant:' .. grant) or '', '^%a+')
end

-- A result under way is the usual reason why a node leaves something out, so it gets time. A reservation
-- has an end of its own.
local function watch_executor(executor, told)
  local grants = redis.call('HGETALL', P .. 'executor:' .. executor .. ':grants')
  for i = 1, #grants, 2 do
    local grant, task = grants[i], string.match(grants[i + 1], '[^|]*$')
    local entry = 'idle|' .. task .. '|' .. grant
    if told[grant] then
      drop_score(P .. 'due', entry)
    elseif standing_of(task, grant) ~= 'reserved' then
      redis.call('ZADD', P .. 'due', 'NX', NOW + A.lease_ms, entry)
    end
  end
end

local function renew(report)
  local key = P .. 'node:' .. report.node
  local n = redis.call('HMGET', key, 'epoch', 'state')
  if n[1] ~= tostring(report.epoch) or n[2] == 'offline' or n[2] == 'unlinked' then return false end
  set_score(P .. 'due', 'node|' .. report.node, NOW + A.lease_ms)
  redis.call('HSET', key, 'seen', NOW, 'load', report.load)
  local told = {}
  for _, attempt in ipairs(report.running) do
    told[attempt.grant] = true
    local standing = standing_of(attempt.task, attempt.grant)
    if standing ~= 'running' and standing ~= 'reserved' then
      stops[#stops + 1] = {task = attempt.task, grant = attempt.grant, executor = report.node .. '/'}
    end
  end
  for _, executor in ipairs(redis.call('SMEMBERS', key .. ':executors')) do watch_executor(executor, told) end
  return true
end

for _, report in ipairs(A.nodes) do
  if not renew(report) then unknown[#unknown + 1] = report.node end
end
return reply({unknown = unknown, stops = stops})
