-- Hands messages to the instances that have the nodes' links. What nobody can deliver after A.max_hops, or whose node
-- has no live owner, is kept for a while where an operator can look at it; nothing depends on it: a node is told again
-- what to stop when it reports, and an assignment that does not arrive is placed anew when its reservation ends.
-- A: instance, max_hops, inbox_length, messages = [{node, kind = 'assign' | 'frame', body, hops}]
-- Returns {sent, mine = [positions from 1 of messages whose node is the caller's own], dead}.
-- @include base events scores messages
-- @include relief
local sent, mine = 0, {}

local function forward(position, message)
  local fields = {'node', message.node, message.kind, message.body}
  local owner = find_owner(fields, message.hops)
  if owner == A.instance then
    mine[#mine + 1] = position
  elseif owner then
    sent = sent + 1
    post(owner, fields, message.hops)
  end
end

for position, message in ipairs(A.messages) do forward(position, message) end
return reply({sent = sent, mine = mine, dead = undelivered})
