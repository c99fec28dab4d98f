-- What is known of an executor's health: `health` in its hash, JSON, empty while there is nothing to say.
--   withheld = {capability: {standing, cause, until_ms, times, reason, grant (of a trial)}} (see domain/health.py)
--   strikes = {capability: {count, job}}: failures in a row, and the job of the last one
local function is_ailing(e) return e.health and e.health ~= '' end

local function health_of(e)
  if not e.known then
    e.known = is_ailing(e) and cjson.decode(e.health) or {withheld = {}, strikes = {}}
  end
  return e.known
end

-- The capability that the task's kind is, by the same name that domain/capability.py gives.
local function kind_of(t)
  local spec = cjson.decode(t.doc or redis.call('HGET', t.key, 'doc'))
  local version = spec.kind_version or 1
  return 'kind:' .. spec.kind .. (version == 1 and '' or '@' .. version)
end

local function save_health(e)
  local health = e.known
  local is_withheld = next(health.withheld) ~= nil
  put(e, 'health', (is_withheld or next(health.strikes)) and cjson.encode(health) or '')
  redis.call(is_withheld and 'SADD' or 'SREM', P .. 'withheld', e.id)
end

local function forget_health(e)
  for capability in pairs(health_of(e).withheld) do drop_score(P .. 'due', 'withheld|' .. e.id .. '|' .. capability) end
  e.known = {withheld = {}, strikes = {}}
  if is_ailing(e) then save_health(e) end
end
