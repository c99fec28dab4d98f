-- Ends attempts that did not give a result.
-- A: failures = [{task, grant, how, error (JSON), retryable, delays = [ms after try 1, 2, …], delay_ms}],
--    breaker (see breaker.lua; nil where none is meant)
--   how: 'failed' (the task's own fault: spends a try) · 'lost' (rejected or not delivered: spends none, waits delay_ms or more)
--        'stopped' (the node confirms that it ended revoked work: frees its slots)
-- Returns {verdicts = ['retried' | 'failed' | 'lost' | 'released' | 'stale'], queues = [touched], freed (see freed.lua),
--   dead = {code of the error: new dead letters}, opened = {capability: breakers}}.
-- @include base events scores state record rule names queue held counts job settle progress capacity freed grants share ends
-- @include attempt lose revoke dead unhold pools health shape breaker failure
-- @include relief
local function settle(item)
  local t = read_attempt(item.task, item.grant)
  if not t.standing then return 'stale' end
  if t.standing == 'revoked' or t.standing == 'won' then
    return let_go(t) and 'released' or 'stale'
  end
  if item.how == 'failed' then return spend_try(t, item) end
  if item.how == 'lost' then
    exclude(t)
    change(t, 'refused', item.error)
  end
  return lose(t, 'revoked', item.delay_ms, item.how == 'lost' and 'rejected' or 'stopped') and 'lost' or 'stale'
end

local verdicts = {}
for position, item in ipairs(A.failures) do verdicts[position] = settle(item) end
return reply({verdicts = verdicts, queues = touched_queues, freed = freed_capacity(), dead = dead_codes,
  opened = breakers_opened})
