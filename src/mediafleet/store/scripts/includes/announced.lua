-- What a node that registers (A.node) says that it still does, attempt by attempt.

-- The attempt lost its lease, but nobody has finished the task: it goes on where it is. If its slots went to
-- another task meanwhile it stays lost: a result that the node holds still counts, running work is stopped
-- at the next heartbeat.
local function readopt(t)
  if not has_room(t.executor, t.cost) then return false end
  local state = after(t.state, 'readopt')
  hold(t.executor, t.this, t)
  if not state then
    mark(t, 'running')
    return true
  end
  unqueue(t)
  change(t, 'grant', t.this)
  start_attempt(t, state)
  return true
end

-- Returns whether the node may keep it.
local function settle(attempt)
  drop_score(P .. 'due', 'idle|' .. attempt.task .. '|' .. attempt.grant)
  local t = read_attempt(attempt.task, attempt.grant)
  if not t.standing or t.standing == 'revoked' or t.standing == 'won' or FINAL[t.state] then return false end
  if string.match(t.executor, '^[^/]*') ~= A.node or redis.call('EXISTS', P .. 'executor:' .. t.executor) == 0 then
    return false
  end
  if t.standing == 'lost' then
    -- The node has not died of it.
    settle_kill(t, false)
    if not readopt(t) then
      save(t)
      return true
    end
  end
  if t.standing == 'reserved' then start_attempt(t, after(t.state, 'ack') or t.state) end
  save(t)
  local j = read_job(t.job)
  start_job(j)
  save(j)
  return true
end
