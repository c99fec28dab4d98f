-- Ends what is due: reservations, deadlines, node leases, back-offs; names what retention lets go.
-- The outage rule: a gap between two ticks longer than gap_ms means that nobody could renew; nothing
-- expires for grace_ms after it, so that nodes have time to come back.
-- A: limit, gap_ms, grace_ms, retry_ms (for the caller's part of retention), retention_ms, timeout_error (JSON), delays
-- Returns {grace, stops = [{task, grant, executor}], jobs = [past retention], artifacts, expired = {what: count}, queues = [touched], more}.
-- @include base
-- @include state
-- @include queue
-- @include job
-- @include capacity
-- @include attempt
-- @include failure
-- @include node
local result = {grace = false, stops = {}, jobs = {}, artifacts = {}, expired = {}, more = false}
local last = redis.call('HMGET', P .. 'tick', 'at', 'grace_until')
local grace_until = tonumber(last[2] or '0')
if not last[1] or NOW - tonumber(last[1]) > A.gap_ms then grace_until = NOW + A.grace_ms end
redis.call('HSET', P .. 'tick', 'at', NOW, 'grace_until', grace_until)

local handle = {}
handle['reserve'] = function(task, grant) lose(task, grant, 'lost', 0) end
handle['node'] = function(node) drop_node(node, A.retention_ms) end
handle['deadline'] = function(task, grant)
  local _, executor = read_grant(task, grant)
  local held = redis.call('HGET', P .. 'executor:' .. executor .. ':grants', grant)
  spend_try(task, grant, {error = A.timeout_error, retryable = true, delays = A.delays})
  -- The node still works on it: its slots stay taken until it confirms that it stopped.
  if held then hold(executor, grant, string.match(held, '^%d+'), task) end
  result.stops[#result.stops + 1] = {task = task, grant = grant, executor = executor}
end
handle['hold'] = function(task)
  local t = redis.call('HMGET', P .. 'task:' .. task, 'state', 'queue', 'tenant', 'score')
  if t[1] == 'NEW' then enqueue(task, t[2], t[3], t[4]) end
end
handle['forget-node'] = function(node)
  for _, executor in ipairs(executors_of(node)) do redis.call('DEL', P .. 'executor:' .. executor) end
  redis.call('DEL', P .. 'node:' .. node, P .. 'node:' .. node .. ':executors')
  redis.call('ZREM', P .. 'nodes', node)
end

-- Retention is finished by the caller, which also removes bytes; until it says so the entry comes back.
local function is_retention(what, id)
  local list = (what == 'job' and result.jobs) or (what == 'artifact' and result.artifacts)
  if not list then return false end
  list[#list + 1] = id
  redis.call('ZADD', P .. 'due', NOW + A.retry_ms, what .. '|' .. id)
  return true
end

result.grace = NOW < grace_until
if not result.grace then
  local entries = redis.call('ZRANGEBYSCORE', P .. 'due', '-inf', NOW, 'LIMIT', 0, A.limit)
  for _, entry in ipairs(entries) do
    local what, id, grant = string.match(entry, '^([%a-]+)|([^|]+)|?(.*)$')
    if not is_retention(what, id) then
      redis.call('ZREM', P .. 'due', entry)
      handle[what](id, grant)
    end
    result.expired[what] = (result.expired[what] or 0) + 1
  end
  result.more = #entries == A.limit
end
result.queues = touched_queues()
return cmsgpack.pack(result)
