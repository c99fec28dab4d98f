-- The tasks of a job that is paused, and that goes on again, in pieces. An entry of `due` lets the reaper go on if the caller
-- dies between two pieces.
local HALT_MS = 10000

local function halt_task(id, now, stops)
  local t = read_task(id, {'state', 'attempt', 'grant'})
  if not t.state or FINAL[t.state] then return end
  if t.state == 'NEW' then
    local waits = redis.call('ZSCORE', tenant_key(t.queue, t.tenant), id)
    if waits then
      unqueue(t)
      set_score(held_key(t.job), id, t.score)
    end
  elseif now then
    interrupt(read_attempt(id, t.grant), stops)
  end
  -- What lost its lease may be at work still, and would be taken up when its node comes back.
  if now and t.attempt then revoke_others(id, '', stops) end
end

-- Returns the cursor of the next piece, 0 at the end. `now` = running attempts are stopped as well.
local function halt_piece(j, cursor, piece, now, stops)
  local ids = redis.call('LRANGE', j.key .. ':tasks', cursor, cursor + piece - 1)
  for _, id in ipairs(ids) do halt_task(id, now, stops) end
  local left = #ids == piece
  if left then
    redis.call('HSET', j.key, 'pausing', cursor + piece .. (now and '|now' or '|soft'))
    set_score(P .. 'due', 'pause|' .. j.id, NOW + HALT_MS)
    return cursor + piece
  end
  redis.call('HDEL', j.key, 'pausing')
  drop_score(P .. 'due', 'pause|' .. j.id)
  return 0
end

-- Tasks go back to where they would stand had they never left: their score tells their age. Returns whether more are held.
local function release_piece(j, piece)
  local found = redis.call('ZPOPMIN', held_key(j.id), piece)
  for i = 1, #found, 2 do
    local t = read_task(found[i], {'state'})
    if t.state == 'NEW' then enqueue(t) end
  end
  local left = redis.call('EXISTS', held_key(j.id)) == 1
  set_score(P .. 'due', 'resume|' .. j.id, left and NOW + HALT_MS)
  return left
end
