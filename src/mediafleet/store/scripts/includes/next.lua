-- Which queue is next, and which executor its first task gets.
local function open_queues()
  for _, pool in ipairs(A.pools) do pool.lists = {} end
  for _, q in ipairs(A.queues) do
    q.key, q.class = P .. 'queue:' .. q.id, class_of(q.id)
    q.lists = q.policy .. q.class .. q.cost .. ':'
  end
end

local function first_queue()
  if is_fleet_paused then return end
  local best
  for _, q in ipairs(A.queues) do
    if not q.is_blocked and has_task(q) and (not best or goes_first(q, best)) then best = q end
  end
  return best
end

-- Returns the queue and the executor that its first task, `q.task`, gets; nil if nothing can be placed.
local function next_placement(draw)
  while true do
    local q = first_queue()
    if not q then return end
    local choice = held_choice(q) or choose(q, q.task, draw)
    if choice then return q, choice end
    block(q)
  end
end

local function still_waiting()
  local list = {}
  for _, q in ipairs(A.queues) do
    if has_task(q) then list[#list + 1] = q.id end
  end
  return list
end
