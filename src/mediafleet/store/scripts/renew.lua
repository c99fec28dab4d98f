-- Moves node leases forward and compares what the nodes run with what the store holds.
-- A: lease_ms (of nodes that registered before leases were kept with them), nodes = [{node, epoch, load (JSON), pressed (what is over a limit), eased, running = [{task, grant}] or nil}]
-- An attempt that its node leaves out of its report ends unless it comes back within a lease (reap). Without `running` only
-- the lease goes on: the node is there, but what it says is still under way.
-- Between its limits and some way below them (neither pressed nor eased) a node stays what it was.
-- Returns {unknown = [nodes that must register again], stops = [{task, grant, executor}], freed (see freed.lua)}.
-- @include base events scores nodestate record names queue held capacity freed unhold pools stand
-- @include relief
local unknown, stops = {}, {}
local function grant_standing(task, grant)
  return string.match(redis.call('HGET', P .. 'task:' .. task, 'grant:' .. grant) or '', '^%a+')
end

local function press(report, key, before)
  local reason = report.pressed == '' and not report.eased and before or report.pressed
  if reason ~= before then redis.call('HSET', key, 'pressed', reason) else return end
  if stand(report.node, 'change') and reason == '' then
    for _, id in ipairs(executors_of(report.node)) do freed[read_executor(id).pool] = true end
  end
end

-- It gets time: a result under way is the usual reason to leave something out. A reservation has an end of its own.
local function watch_executor(executor, told, lease_ms)
  local grants = redis.call('HGETALL', P .. 'executor:' .. executor .. ':grants')
  for i = 1, #grants, 2 do
    local grant, task = grants[i], string.match(grants[i + 1], '[^|]*$')
    local entry = 'idle|' .. task .. '|' .. grant
    if told[grant] then
      drop_score(P .. 'due', entry)
    elseif grant_standing(task, grant) ~= 'reserved' then
      redis.call('ZADD', P .. 'due', 'NX', NOW + lease_ms, entry)
    end
  end
end

local function renew(report)
  local key = P .. 'node:' .. report.node
  local n = redis.call('HMGET', key, 'epoch', 'state', 'pressed', 'lease')
  if n[1] ~= tostring(report.epoch) or n[2] == 'offline' or n[2] == 'unlinked' then return false end
  local lease_ms = tonumber(n[4]) or A.lease_ms
  set_score(P .. 'due', 'node|' .. report.node, NOW + lease_ms)
  if not report.running then return redis.call('HSET', key, 'seen', NOW) end
  redis.call('HSET', key, 'seen', NOW, 'load', report.load)
  press(report, key, n[3] or '')
  local told = {}
  for _, attempt in ipairs(report.running) do
    told[attempt.grant] = true
    local standing = grant_standing(attempt.task, attempt.grant)
    if standing ~= 'running' and standing ~= 'reserved' then
      stops[#stops + 1] = {task = attempt.task, grant = attempt.grant, executor = report.node .. '/'}
    end
  end
  for _, id in ipairs(redis.call('SMEMBERS', key .. ':executors')) do watch_executor(id, told, lease_ms) end
  return true
end

for _, report in ipairs(A.nodes) do
  if not renew(report) then unknown[#unknown + 1] = report.node end
end
return reply({unknown = unknown, stops = stops, freed = freed_capacity()})
