-- An executor's effective signature: what it declared without what is withheld from it. Its pool follows from it, by the
-- same name that domain/capability.py gives; what it runs stays its own.
local function is_out(entry) return entry ~= nil and (entry.standing == 'out' or entry.standing == 'tried') end

local function effective_signature(declared, withheld)
  local signature, kept = cjson.decode(declared), {}
  for _, capability in ipairs(signature.capabilities) do
    if not is_out(withheld[capability]) then kept[#kept + 1] = '"' .. capability .. '"' end
  end
  return string.format('{"capabilities":[%s],"slots":%d,"live_reserve":%d,"priority":%d}', table.concat(kept, ','),
    signature.slots, signature.live_reserve, signature.priority)
end

-- Moves the executor to the pool of its effective signature. Returns whether it was in another.
local function reshape(e)
  local declared = redis.call('HGET', e.key, 'declared')
  -- Registered by an older version: at its next registration.
  if not declared then return false end
  local doc = effective_signature(declared, health_of(e).withheld)
  local pool = string.sub(redis.sha1hex(doc), 1, 16)
  if pool == e.pool then return false end
  local was_listed = e.listed == '1'
  unlist(e.id)
  put(e, 'pool', pool)
  put(e, 'pool_doc', doc)
  if was_listed then
    list(e.id)
    freed[pool] = true
  end
  return true
end

-- Writes what is known of the executor's health, and what follows from it.
local function settle_health(e)
  save_health(e)
  reshape(e)
  emit('node.changed', 'node', string.match(e.id, '^[^/]*'), '{"executor":"' .. e.id .. '"}')
end

-- For `span_ms` the first time, doubled each time in a row, up to `longest_ms`.
local function withhold(e, capability, entry, span_ms, longest_ms)
  entry.standing, entry.span = 'out', math.min(span_ms * 2 ^ math.min(entry.times - 1, 20), longest_ms)
  entry.until_ms = NOW + entry.span
  health_of(e).withheld[capability] = entry
  health_of(e).strikes[capability] = nil
  set_score(P .. 'due', 'withheld|' .. e.id .. '|' .. capability, entry.until_ms)
  settle_health(e)
end
