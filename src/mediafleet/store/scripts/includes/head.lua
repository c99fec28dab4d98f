-- The queue's first task that can be placed at all; what cannot has no business in a queue.
local function read_head_task(q)
  while true do
    local id, turn = peek_task(q)
    if not id then return end
    local t = read_task(id, {'attempt', 'doc', 'state', 'excluded', 'near'})
    t.placed = after(after(after(t.state, 'select'), 'reserve'), 'dispatch')
    if t.placed then
      q.task, q.turn = t, turn
      return
    end
    take_task(q, turn, 0)
  end
end

-- Looked up again when it was taken, or when its tenant had a turn elsewhere: another's may have come, or its cap.
local function has_task(q)
  local tenant = q.task and q.turn.tenant
  if tenant and (q.turn.vtime < read_share(tenant, q.class).vtime or has_reached_cap(tenant, q.cost)) then q.task = nil end
  if not q.task then read_head_task(q) end
  return q.task ~= nil
end
