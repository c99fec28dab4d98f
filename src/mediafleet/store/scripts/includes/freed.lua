-- What is given to an executor and taken from it, and where slots became free.
local function set_used(id, class, change)
  local e = read_executor(id)
  if not e.slots then return end
  e.used, e.moved = e.used + change, true
  if class == 'b' then e.batch_used = e.batch_used + change end
  if change >= 0 then return end
  freed[e.pool] = true
  if e.held_for and e.held_for ~= '' then touched[e.held_for] = true end
end

-- With the version of the set of queues that wait: who caused it places them.
local function freed_capacity()
  local pools = {}
  for pool in pairs(freed) do pools[#pools + 1] = pool end
  return {pools = pools, waiting_version = tonumber(redis.call('GET', P .. 'waiting:version') or '0')}
end
