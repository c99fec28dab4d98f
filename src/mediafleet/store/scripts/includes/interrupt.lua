-- Running attempts that are stopped because their job, their node or the fleet is paused: no try is spent, and the task waits
-- again. Revoked, and their slots taken until their node confirms; `stops` gets what the nodes must be told.

-- Returns whether the task waits again.
local function interrupt(t, stops)
  if t.standing == 'reserved' then let_end(t.id, t.this) end
  forget_timers(t.id, t.this, t.limits)
  note_end(t, 'paused')
  mark(t, 'revoked')
  stops[#stops + 1] = {task = t.id, grant = t.this, executor = t.executor}
  local again = t.grant == t.this and requeue(t, 'lose', 0)
  save(t)
  return again
end

-- At most `piece` attempts; returns whether there may be more.
local function interrupt_node(node, piece, stops)
  for _, executor in ipairs(executors_of(node)) do
    local grants = redis.call('HGETALL', P .. 'executor:' .. executor .. ':grants')
    for i = 1, #grants, 2 do
      local t = read_attempt(string.match(grants[i + 1], '[^|]*$'), grants[i])
      if is_live(t.standing) then
        if piece == 0 then return true end
        interrupt(t, stops)
        piece = piece - 1
      end
    end
  end
  return false
end
