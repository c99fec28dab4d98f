-- The circuit breaker of an executor and a kind: A.breaker = {failures, cool_ms, longest_ms} (domain/health.py). Failures
-- that another executor might not have had count; those of one job count once, since it may be the job's own doing.
-- `breakers_opened` counts by capability how often one opened, for the reply.
local breakers_opened = {}

local function open_breaker(e, capability, times)
  breakers_opened[capability] = (breakers_opened[capability] or 0) + 1
  local entry = {cause = 'failures', times = times, reason = ''}
  withhold(e, capability, entry, A.breaker.cool_ms, A.breaker.longest_ms)
end

local function strike(t)
  local e = A.breaker and A.breaker.failures > 0 and read_executor(t.executor)
  if not e or not e.slots then return end
  local capability, health = kind_of(t), health_of(e)
  local entry, count = health.withheld[capability], health.strikes[capability] or {count = 0, job = ''}
  if entry and entry.standing == 'tried' and entry.grant == t.this then
    return open_breaker(e, capability, entry.times + 1)
  end
  -- What began before it opened says nothing new.
  if (entry and entry.cause == 'failures') or count.job == t.job then return end
  if count.count + 1 >= A.breaker.failures then return open_breaker(e, capability, 1) end
  health.strikes[capability] = {count = count.count + 1, job = t.job}
  save_health(e)
end

-- A task of the kind was done: the row is broken, and a trial that was it has ended well.
local function forgive(t)
  local e = read_executor(t.executor)
  if not e.slots or not is_ailing(e) then return end
  local capability, health = kind_of(t), health_of(e)
  local entry = health.withheld[capability]
  if entry and entry.standing == 'tried' and entry.grant == t.this then
    health.withheld[capability] = nil
    drop_score(P .. 'due', 'withheld|' .. e.id .. '|' .. capability)
    settle_health(e)
  elseif health.strikes[capability] then
    health.strikes[capability] = nil
    save_health(e)
  end
end
