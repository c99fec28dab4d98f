-- The tasks of a job that gets another go, in pieces. `reviving` keeps the job from closing in between;
-- an entry of `due` lets the reaper go on if the caller dies between two pieces.
local GO_ON_MS = 10000

local function words(text)
  local list = {}
  for word in string.gmatch(text or '', '%S+') do list[#list + 1] = word end
  return list
end

-- A task that nobody has swept yet may wait for an upload that was given up: nothing would wake it.
local function recount(t, gate)
  if t.state ~= 'NEW' or tonumber(t.deps) == 0 then return end
  change(t, 'deps', count_missing(t.id, words(t.after), words(t.waits)) + gate)
  save(t)
  if t.deps == 0 then admit(t) end
end

-- `gate` = 1 while its job waits for other jobs (follow.lua), else 0.
local function revive(j, id, gate)
  local t = read_task(id, {'state', 'after', 'waits', 'deps', 'fraction', 'not_before'})
  local state = after(t.state, 'revive')
  if not state then return recount(t, gate) end
  local deps = count_missing(id, words(t.after), words(t.waits)) + gate
  change(t, 'state', state)
  change(t, 'tries', 0)
  change(t, 'excluded', '')
  change(t, 'kills', '')
  drop_score(P .. 'dead', id)
  change(t, 'deps', deps)
  set_fraction(t, j, 0)
  save(t)
  redis.call('HDEL', t.key, 'error')
  count_open(t, 1)
  start_task_deadline(t, false)
  change(j, 'open', j.open + 1)
  if deps == 0 then admit(t) end
end

-- Returns the cursor of the next piece, 0 at the end.
local function revive_piece(j, cursor, piece)
  local ids = redis.call('LRANGE', j.key .. ':tasks', cursor, cursor + piece - 1)
  local gate = (redis.call('HGET', j.key, 'awaits') or '') ~= '' and 1 or 0
  for _, id in ipairs(ids) do revive(j, id, gate) end
  if #ids == piece then
    change(j, 'reviving', cursor + piece)
    set_score(P .. 'due', 'revive|' .. j.id, NOW + GO_ON_MS)
    save(j)
    return cursor + piece
  end
  save(j)
  redis.call('HDEL', j.key, 'reviving')
  drop_score(P .. 'due', 'revive|' .. j.id)
  set_score(P .. 'dirty', j.id, NOW)
  return 0
end
