-- A node's link closed, and it has not come back in the moment that live work has: that work goes elsewhere at once. What
-- is not live waits for the lease. Lost and not revoked: a node that does come back may still keep or finish it.
handle['live'] = function(node)
  if redis.call('HGET', P .. 'node:' .. node, 'state') ~= 'unlinked' then return false end
  local count = 0
  for _, executor in ipairs(executors_of(node)) do
    local grants = redis.call('HGETALL', P .. 'executor:' .. executor .. ':grants')
    for i = 1, #grants, 2 do
      local class, task = string.match(grants[i + 1], '^%d+|(%a)|.*|([^|]*)$')
      local t = class == 'l' and read_attempt(task, grants[i])
      if t and is_live(t.standing) and lose_in_doubt(t, node) then count = count + 1 end
    end
  end
  return count > 0
end
