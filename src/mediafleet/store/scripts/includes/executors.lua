-- Sets the executors of the node that registers (A.node) to A.executors. Attempts that it does not
-- announce, or whose executor it no longer has, are revoked: nobody works on them.
local function replace_executors(announced)
  local wanted, count = {}, 0
  local function is_unknown(grant) return not announced[grant] end
  for _, e in ipairs(A.executors) do wanted[e.id] = true end
  for _, executor in ipairs(executors_of(A.node)) do
    unlist(executor)
    count = count + lose_grants(executor, 'revoked', wanted[executor] and is_unknown or always)
    if not wanted[executor] then
      redis.call('DEL', P .. 'executor:' .. executor)
      redis.call('SREM', P .. 'node:' .. A.node .. ':executors', executor)
    end
  end
  for _, e in ipairs(A.executors) do
    redis.call('HSET', P .. 'executor:' .. e.id, 'slots', e.slots, 'pool', e.pool, 'pool_doc', A.pools[e.pool], 'doc', e.doc)
    redis.call('SADD', P .. 'node:' .. A.node .. ':executors', e.id)
    pool_of[e.id] = e.pool
  end
  return count
end
