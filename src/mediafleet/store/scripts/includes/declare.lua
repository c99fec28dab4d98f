-- Sets what the executors of a linked node (A.node) can do to A.executors, without touching what they run. One that is
-- left out ends with its node's next registration, or now if it runs nothing; it takes no new work.
local function forget_missed(e, declared)
  local withheld = health_of(e).withheld
  for capability, entry in pairs(withheld) do
    -- Its node's newest word on what it has counts more than an older one.
    if entry.cause == 'missing' or not string.find(declared, '"' .. capability .. '"', 1, true) then
      withheld[capability] = nil
      drop_score(P .. 'due', 'withheld|' .. e.id .. '|' .. capability)
    end
  end
  if is_ailing(e) then save_health(e) end
end

local function declare(wanted, is_ready)
  local e = read_executor(wanted.id)
  local is_new = not e.slots
  -- Its scores and its reserve must leave the old pool by the old ones.
  unlist(wanted.id)
  redis.call('HSET', e.key, 'slots', wanted.slots, 'reserve', wanted.reserve, 'doc', wanted.doc,
    'declared', A.pools[wanted.pool], 'owner', redis.call('HGET', P .. 'node:' .. A.node, 'instance'))
  e.slots, e.reserve = wanted.slots, wanted.reserve
  if is_new then redis.call('SADD', P .. 'node:' .. A.node .. ':executors', wanted.id) end
  forget_missed(e, A.pools[wanted.pool])
  reshape(e)
  if is_ready then
    list(wanted.id)
    freed[e.pool] = true
  end
end

local function redeclare()
  local wanted, is_ready = {}, standing_of(A.node) == 'ready'
  for _, e in ipairs(A.executors) do wanted[e.id] = true end
  for _, id in ipairs(executors_of(A.node)) do
    if not wanted[id] then
      unlist(id)
      if redis.call('EXISTS', P .. 'executor:' .. id .. ':grants') == 0 then
        forget_health(read_executor(id))
        redis.call('DEL', P .. 'executor:' .. id)
        redis.call('SREM', P .. 'node:' .. A.node .. ':executors', id)
      else
        redis.call('HSET', P .. 'executor:' .. id, 'left', '1')
      end
    end
  end
  for _, e in ipairs(A.executors) do declare(e, is_ready) end
  emit('node.changed', 'node', A.node, '{"executors":' .. #A.executors .. '}')
end
