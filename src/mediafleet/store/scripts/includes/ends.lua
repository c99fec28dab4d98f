-- What is known of a task's attempts that gave no result, "<ms>|<how>|<executor>|<progress>|<grant>" a line, the newest last.
-- How: failed · timed-out · stalled · rejected · stopped · unconfirmed · unlinked · goodbye · removed · forgotten (its node came
-- back without it, the same process) · silent (its node did not speak of it for a lease) · paused (stopped by a pause), and
-- those of KILLS: its node's lease ended, or another process of it came back without it. Those stay longest.
local KILLS, SPENDS_TRY = {['lease-ended'] = true, restarted = true}, {failed = true, ['timed-out'] = true, stalled = true}
local MOST_ENDS = 16

local function read_ends(t)
  local lines = {}
  for line in string.gmatch(t.ends or redis.call('HGET', t.key, 'ends') or '', '[^\n]+') do lines[#lines + 1] = line end
  return lines
end

-- A grant goes with its line, so that a task does not grow with its attempts: of one that is unknown nothing is taken, as of
-- one that was revoked. Not while it holds slots, or has work.
local function forget_grant(t, line)
  local executor, grant = string.match(line, '^%d+|[^|]*|([^|]*)|[^|]*|(.+)$')
  if not grant then return true end
  local standing = string.match(redis.call('HGET', t.key, 'grant:' .. grant) or '', '^%a+')
  if standing ~= 'lost' and standing ~= 'revoked' then return standing == nil end
  if redis.call('HEXISTS', P .. 'executor:' .. executor .. ':grants', grant) == 1 then return false end
  redis.call('HDEL', t.key, 'grant:' .. grant)
  return true
end

local function drop_oldest_end(t, lines)
  for _, may_drop_kills in ipairs({false, true}) do
    for i, line in ipairs(lines) do
      local is_kill = KILLS[string.match(line, '^%d+|([^|]*)')] or false
      if is_kill == may_drop_kills and forget_grant(t, line) then return table.remove(lines, i) end
    end
  end
end

local function note_end(t, how)
  local lines = read_ends(t)
  if #lines >= MOST_ENDS then drop_oldest_end(t, lines) end
  lines[#lines + 1] = table.concat({NOW, how, t.executor, t.fraction or '', t.this}, '|')
  change(t, 'ends', table.concat(lines, '\n'))
end

-- How long a task waits whose attempts end through no fault of its own: not at all where that happens now and then; longer
-- each time where it goes on, since then something is wrong that nobody mends in a moment.
local FREE_WAIT = {at_once = 3, span_ms = 1200000, first_ms = 250, longest_ms = 60000}

local function free_wait(t)
  local count = -FREE_WAIT.at_once
  for _, line in ipairs(read_ends(t)) do
    local at, how = string.match(line, '^(%d+)|([^|]*)')
    if NOW - at < FREE_WAIT.span_ms and not SPENDS_TRY[how] and how ~= 'paused' then count = count + 1 end
  end
  if count <= 0 then return 0 end
  -- Scripts have no chance of their own, but the grant is one: half of the wait is drawn.
  local draw = tonumber(string.sub(redis.sha1hex(t.this), 1, 6), 16) / 2 ^ 24
  return math.floor(math.min(FREE_WAIT.longest_ms, FREE_WAIT.first_ms * 2 ^ (count - 1)) * (1 + draw) / 2)
end
