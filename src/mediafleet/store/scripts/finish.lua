-- Accepts results: the first of a grant that was not revoked, while the task is not final.
-- A: results = [{task, grant, result (JSON), outputs = [artifact ids]}]
-- Returns {verdicts = ['accepted' | 'duplicate' | 'stale'], stops = [{task, grant, executor}], queues = [touched]}.
-- @include base
-- @include state
-- @include queue
-- @include job
-- @include task
-- @include capacity
-- @include attempt
local stops = {}

local function bind_outputs(outputs, job)
  for _, artifact in ipairs(outputs) do
    redis.call('ZREM', P .. 'due', 'artifact|' .. artifact)
    redis.call('SADD', P .. 'artifact:' .. artifact .. ':jobs', job)
    redis.call('SADD', P .. 'job:' .. job .. ':outputs', artifact)
  end
end

local function accept(item)
  local key = P .. 'task:' .. item.task
  local standing, executor = read_grant(item.task, item.grant)
  if not standing then return 'stale' end
  release(executor, item.grant)
  if standing == 'won' then return 'duplicate' end
  local t = redis.call('HMGET', key, 'state', 'job', 'name', 'queue', 'tenant', 'attempt')
  local state = after(t[1], 'finish')
  if standing == 'revoked' or not state then return 'stale' end
  forget_timers(item.task, item.grant)
  if t[1] == 'NEW' then unqueue(item.task, t[4], t[5]) end
  redis.call('HSET', key, 'state', state, 'result', item.result, 'grant', item.grant,
    'grant:' .. item.grant, 'won|' .. executor)
  if tonumber(t[6]) > 1 then revoke_others(item.task, item.grant, stops) end
  bind_outputs(item.outputs, t[2])
  set_fraction(item.task, t[2], 1)
  satisfy_children(key .. ':children')
  count_down(t[2], {result = item.result, name = t[3]})
  return 'accepted'
end

local verdicts = {}
for index, item in ipairs(A.results) do verdicts[index] = accept(item) end
return cmsgpack.pack({verdicts = verdicts, stops = stops, queues = touched_queues()})
