-- Hands messages to the instances that have the nodes' links. What nobody can deliver after A.max_hops, or whose node
-- has no live owner, is kept for a while where an operator can look at it; nothing depends on it: a node is told again
-- what to stop when it reports, and an assignment that does not arrive is placed anew when its reservation ends.
-- A: instance, max_hops, inbox_length, messages = [{node, kind = 'assign' | 'frame', body, hops}]
-- Returns {sent, mine = [positions from 1 of messages whose node is the caller's own], dead}.
-- @include base events scores
-- @include relief
local sent, mine, dead = 0, {}, 0

local function bury(message, reason)
  dead = dead + 1
  redis.call('XADD', P .. 'undelivered', 'MAXLEN', '~', 1000, '*', 'node', message.node, message.kind, message.body,
    'reason', reason)
end

local function forward(position, message)
  local owner = redis.call('HGET', P .. 'node:' .. message.node, 'instance')
  if not owner or redis.call('EXISTS', P .. 'instance:' .. owner) == 0 then return bury(message, 'no-owner') end
  if message.hops > A.max_hops then return bury(message, 'hops') end
  if owner == A.instance then
    mine[#mine + 1] = position
    return
  end
  sent = sent + 1
  redis.call('XADD', P .. 'inbox:' .. owner, 'MAXLEN', '~', A.inbox_length, '*', 'node', message.node,
    message.kind, message.body, 'hops', message.hops)
end

for position, message in ipairs(A.messages) do forward(position, message) end
return reply({sent = sent, mine = mine, dead = dead})
