-- Ends attempts that did not give a result.
-- A: failures = [{task, grant, how, error (JSON), retryable, delays = [ms after try 1, 2, …], delay_ms}]
--   how: 'failed' (the task's own fault: spends a try) · 'lost' (rejected or not delivered: spends none, waits delay_ms)
--        'stopped' (the node confirms that it ended revoked work: frees its slots)
-- Returns {verdicts = ['retried' | 'failed' | 'lost' | 'released' | 'stale'], queues = [touched]}.
-- @include base
-- @include state
-- @include queue
-- @include job
-- @include capacity
-- @include attempt
-- @include failure
local function settle(item)
  local standing, executor = read_grant(item.task, item.grant)
  if not standing then return 'stale' end
  if standing == 'revoked' or standing == 'won' then
    return release(executor, item.grant) and 'released' or 'stale'
  end
  if item.how == 'failed' then return spend_try(item.task, item.grant, item) end
  if item.how == 'lost' then exclude(item.task, executor) end
  return lose(item.task, item.grant, 'revoked', item.delay_ms) and 'lost' or 'stale'
end

local verdicts = {}
for index, item in ipairs(A.failures) do verdicts[index] = settle(item) end
return cmsgpack.pack({verdicts = verdicts, queues = touched_queues()})
