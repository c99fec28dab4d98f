-- A half-open breaker lets one task through: with it, the executor leaves the pool that has the kind.
local function begin_trial(e, t, grant)
  if not is_ailing(e) then return end
  local capability = kind_of(t)
  local entry = health_of(e).withheld[capability]
  if not entry or entry.standing ~= 'trial' then return end
  entry.standing, entry.grant, entry.until_ms = 'tried', grant, NOW + entry.span
  set_score(P .. 'due', 'withheld|' .. e.id .. '|' .. capability, entry.until_ms)
  local before = e.pool
  settle_health(e)
  -- What was read of the pools that it left and came to holds no more.
  for _, pool in ipairs(A.pools) do
    if pool.id == before or pool.id == e.pool then settle_pool(pool) end
  end
end
