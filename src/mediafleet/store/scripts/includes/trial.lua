-- A half-open breaker lets one task through: with it, the executor leaves the pool that has the kind. Returns whether
-- that was so.
local function begin_trial(e, t, grant)
  if not is_ailing(e) then return false end
  local capability = 'kind:' .. cjson.decode(t.doc).kind
  local entry = health_of(e).withheld[capability]
  if not entry or entry.standing ~= 'trial' then return false end
  entry.standing, entry.grant, entry.until_ms = 'tried', grant, NOW + entry.span
  set_score(P .. 'due', 'withheld|' .. e.id .. '|' .. capability, entry.until_ms)
  settle_health(e)
  return true
end
