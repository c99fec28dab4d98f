-- Ends the attempts of an executor that `chosen(grant)` picks by `lose_one(attempt)`; what was revoked before only
-- frees its slots.
local function lose_grants(executor, chosen, lose_one)
  local count = 0
  local grants = redis.call('HGETALL', P .. 'executor:' .. executor .. ':grants')
  for i = 1, #grants, 2 do
    local grant, task = grants[i], string.match(grants[i + 1], '[^|]*$')
    if chosen(grant) then
      local t = read_attempt(task, grant)
      if is_live(t.standing) then
        if lose_one(t) then count = count + 1 end
      else
        release(executor, grant, t)
        drop_score(P .. 'due', 'idle|' .. task .. '|' .. grant)
      end
    end
  end
  return count
end

local function always() return true end

-- The node is gone: nothing of it holds capacity any more.
local function drop_node(node, retention_ms, lose_one)
  local count = 0
  for _, executor in ipairs(executors_of(node)) do count = count + lose_grants(executor, always, lose_one) end
  list_executors(node, false)
  redis.call('HSET', P .. 'node:' .. node, 'state', 'offline')
  drop_score(P .. 'due', 'node|' .. node)
  drop_score(P .. 'due', 'live|' .. node)
  set_score(P .. 'due', 'forget-node|' .. node, NOW + retention_ms)
  emit('node.lost', 'node', node, '{"lost":' .. count .. '}')
  return count
end
