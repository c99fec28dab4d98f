-- How many tasks this call can place: all that wait in its queues, and no more than there are grants. To read as many
-- executors as there are grants for a single task would cost more than to place it.
local most

-- Asked when the turns of all queues have been read.
local function most_placed()
  if most then return most end
  most = 0
  for _, q in ipairs(A.queues) do
    for _, turn in ipairs(q.turns or {}) do
      most = math.min(#A.grants, most + redis.call('ZCARD', turn.key))
      if most == #A.grants then return most end
    end
  end
  return most
end
