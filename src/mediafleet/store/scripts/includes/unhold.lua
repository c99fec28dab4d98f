-- Ends the hold of a queue on an executor. Returns the executor if there was one.
local function end_hold(id)
  local e = read_executor(id)
  if not e.held_for or e.held_for == '' then return end
  redis.call('HDEL', P .. 'holds', e.held_for)
  redis.call('HDEL', P .. 'blocked', e.held_for)
  put(e, 'held_for', '')
  drop_score(P .. 'due', 'hold-end|' .. id)
  return e
end

-- Puts an executor that a queue held back into its pool's indexes, if it is still to be used.
local function relist(id)
  local e = end_hold(id)
  if e and e.listed == '1' then write_scores({e}, 'NX') end
end
