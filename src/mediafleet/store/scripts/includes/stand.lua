-- The state of a node follows from what is known of it, and is written here and nowhere else: `drained` (an operator's
-- word), `leaving` (its own), `paused`, `warming`, `pressed` (what is over a limit), `ailing` (what it says is wrong with it).
-- NODE_MOVES holds where each event may lead. Executors are in their pools only while their node is ready.
local function standing_of(node)
  local n = redis.call('HMGET', P .. 'node:' .. node, 'drained', 'leaving', 'warming', 'pressed', 'ailing', 'paused')
  if n[1] == '1' or n[2] == '1' then return 'draining' end
  if n[6] == '1' then return 'paused' end
  if n[3] == '1' then return 'warmup' end
  if (n[4] or '') ~= '' or (n[5] or '') ~= '' then return 'degraded' end
  return 'ready'
end

-- Returns whether it is in another state now.
local function stand(node, event)
  local key = P .. 'node:' .. node
  local from, to = redis.call('HGET', key, 'state'), standing_of(node)
  if from == to or not (NODE_MOVES[from] and NODE_MOVES[from][event] and NODE_MOVES[from][event][to]) then return false end
  redis.call('HSET', key, 'state', to)
  list_executors(node, to == 'ready')
  emit('node.changed', 'node', node, '{"state":"' .. to .. '"}')
  return true
end
