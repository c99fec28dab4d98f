-- The time of a withheld capability is over.
handle['withheld'] = function(executor, capability)
  local e = read_executor(executor)
  local entry = e.slots and health_of(e).withheld[capability]
  if not entry then return false end
  local due = 'withheld|' .. executor .. '|' .. capability
  if entry.standing == 'back' then
    health_of(e).withheld[capability] = nil
  elseif entry.cause == 'missing' then
    -- Remembered for as long again: who lacks it once more does without it for longer.
    entry.standing, entry.until_ms = 'back', NOW + 2 * entry.span
    set_score(P .. 'due', due, entry.until_ms)
  elseif entry.standing == 'tried' and redis.call('HEXISTS', e.key .. ':grants', entry.grant) == 1 then
    entry.until_ms = NOW + entry.span
    set_score(P .. 'due', due, entry.until_ms)
  else
    entry.standing, entry.grant = 'trial', nil
  end
  settle_health(e)
end
