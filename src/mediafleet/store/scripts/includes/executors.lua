-- The counts follow the grants; here they are taken anew, since what is reserved may have changed.
local function count_used(id)
  local used, batch = 0, 0
  for _, value in ipairs(redis.call('HVALS', P .. 'executor:' .. id .. ':grants')) do
    local cost, class = string.match(value, '^(%d+)|(%a)|')
    used = used + cost
    if class == 'b' then batch = batch + cost end
  end
  redis.call('HSET', P .. 'executor:' .. id, 'used', used, 'batch_used', batch)
end

-- Sets the executors of the node that registers (A.node) to A.executors. Attempts that it does not
-- announce, or whose executor it no longer has, are revoked: nobody works on them.
local function replace_executors(announced, is_new_process)
  local wanted, count = {}, 0
  local function is_unknown(grant) return not announced[grant] end
  local function lose_forgotten(t)
    if is_new_process then return lose_with_node(t, 'revoked', 'restarted') end
    exclude(t)
    return lose(t, 'revoked', 0, 'forgotten')
  end
  local function lose_removed(t) return lose(t, 'revoked', 0, 'removed') end
  for _, e in ipairs(A.executors) do wanted[e.id] = true end
  for _, executor in ipairs(executors_of(A.node)) do
    unlist(executor)
    count = count + lose_grants(executor, is_unknown, lose_forgotten)
    if not wanted[executor] then
      count = count + lose_grants(executor, always, lose_removed)
      forget_health(read_executor(executor))
      redis.call('DEL', P .. 'executor:' .. executor)
      -- Or what its attempts gave back would be written at the end.
      executors[executor] = nil
      redis.call('SREM', P .. 'node:' .. A.node .. ':executors', executor)
    end
  end
  for _, e in ipairs(A.executors) do
    redis.call('HSET', P .. 'executor:' .. e.id, 'slots', e.slots, 'pool', e.pool, 'pool_doc', A.pools[e.pool],
      'declared', A.pools[e.pool], 'reserve', e.reserve, 'doc', e.doc, 'owner', A.instance, 'left', '0')
    redis.call('SADD', P .. 'node:' .. A.node .. ':executors', e.id)
    executors[e.id] = nil
    count_used(e.id)
    local fresh = read_executor(e.id)
    -- A new process has looked anew at what it has.
    if is_new_process then forget_health(fresh) end
    if is_ailing(fresh) then reshape(fresh) end
  end
  return count
end
