-- Live work waits for no lease, so that it goes elsewhere before anybody knows whether its node died or only its link.
-- `node:<id>:unsure` (grant → task) keeps what went, until the node is back or its lease ends.

-- Returns whether the task waits again. What may have ended as many nodes as it may stays where it is until that is
-- known, as other work does: else it would go through a fleet faster than leases end.
local function lose_in_doubt(t, node)
  if t.standing == 'running' and t.grant == t.this and A.max_kills > 0 then
    local kills = read_kills(t)
    kills[#kills + 1] = {is_sure = false, grant = t.this, node = node}
    if poison_of(kills, true) then return false end
    write_kills(t, kills)
    exclude(t)
    redis.call('HSET', P .. 'node:' .. node .. ':unsure', t.this, t.id)
  end
  return lose(t, 'lost', 0, 'unlinked')
end

-- One of a task's kills was one, or was none. Where it is at work again, that goes on: how it ends says more.
local function settle_kill(t, died)
  local kills, left = read_kills(t), {}
  for _, kill in ipairs(kills) do
    if kill.grant == t.this then kill.is_sure = true end
    if died or kill.grant ~= t.this then left[#left + 1] = kill end
  end
  if #kills > 0 then write_kills(t, left) end
  local poison = died and A.max_kills > 0 and t.state == 'NEW' and poison_of(left)
  if not poison then return save(t) end
  unqueue(t)
  fail_for_good(t, poison)
end

-- The node is back, or its lease has ended; `died(grant)` = it took the attempt with it.
local function settle_doubts(node, died)
  local key = P .. 'node:' .. node .. ':unsure'
  local found = redis.call('HGETALL', key)
  for i = 1, #found, 2 do
    local t = read_attempt(found[i + 1], found[i])
    if t.state and not FINAL[t.state] then settle_kill(t, died(t.this)) end
  end
  if found[1] then redis.call('DEL', key) end
end
