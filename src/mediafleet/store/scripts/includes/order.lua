-- Whose queue is next: classes in strict order, except that of A.batch_every placements one is batch's while it waits.
local RANK = {l = 1, i = 2, b = 3}
local kept = redis.call('MGET', P .. 'since-batch', P .. 'paused')
local since_batch, is_fleet_paused = tonumber(kept[1] or '0'), kept[2]
local before = since_batch

local function rank(q) return q.class == 'b' and since_batch >= A.batch_every - 1 and 0 or RANK[q.class] end

local function goes_first(a, b)
  local mine, theirs = rank(a), rank(b)
  if mine ~= theirs then return mine < theirs end
  return goes_before(a.turn, b.turn) or (a.turn.vtime == b.turn.vtime and a.turn.tenant == b.turn.tenant and a.id < b.id)
end

local function does_batch_wait()
  for _, q in ipairs(A.queues) do
    if q.class == 'b' and not q.is_blocked and has_task(q) then return true end
  end
end

-- Notes that a task of the queue was placed, and maybe a batch task passed over.
local function count_turn(q)
  if q.class == 'b' then
    since_batch = 0
  elseif does_batch_wait() then
    since_batch = since_batch + 1
  end
end

before_write[#before_write + 1] = function()
  if since_batch ~= before then redis.call('SET', P .. 'since-batch', since_batch) end
end
