-- The next task of a queue, and what taking it costs its tenant.
local function park(q, turn, position)
  settle_turn(q, turn)
  redis.call('SADD', P .. 'parked:' .. turn.tenant, q.id)
  leave(q.id, turn.tenant)
  remove_turn(q, position)
end

-- All tenants that were read are further on by now than one that was not read: look again.
local function look_again(q)
  q.rescans = (q.rescans or 0) + 1
  settle_turns(q)
  read_turns(q)
end

-- Returns the task that is next and whose turn it is, or nil.
local function peek_task(q)
  if not q.turns then read_turns(q) end
  while #q.turns > 0 do
    local turn, position = first_turn(q)
    local share = read_share(turn.tenant, q.class)
    if turn.vtime < share.vtime then
      turn.vtime, turn.moved = share.vtime, true
    elseif turn.vtime > q.last and (q.rescans or 0) < RESCANS then
      look_again(q)
    elseif has_reached_cap(turn.tenant, q.cost) then
      park(q, turn, position)
    else
      local id = head_of(turn)
      if id then return id, turn end
      settle_turn(q, turn)
      remove_turn(q, position)
    end
  end
end

-- `cost` in slots; 0 for a task that had no business in the queue.
local function take_task(q, turn, cost)
  turn.taken[#turn.taken + 1] = turn.ids[turn.at]
  turn.at = turn.at + 1
  if cost == 0 then return end
  local share = read_share(turn.tenant, q.class)
  clocks[q.class] = math.max(clocks[q.class] or 0, turn.vtime)
  turn.vtime = turn.vtime + cost / weight_of(turn.tenant)
  share.vtime, share.moved = turn.vtime, true
  if running[turn.tenant] then running[turn.tenant] = running[turn.tenant] + cost end
end

before_write[#before_write + 1] = function()
  for _, q in ipairs(A.queues) do settle_turns(q) end
end
