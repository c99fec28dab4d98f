-- What is known of a task's attempts that gave no result: "<ms>|<how>|<executor>|<progress>" a line, the newest last.
-- How: failed · timed-out · stalled · rejected · stopped · unconfirmed · unlinked · goodbye · removed · forgotten (its node came
-- back without it, the same process) · silent (its node did not speak of it for a lease), and those of KILLS: its node's
-- lease ended, or another process of it came back without it. Those stay longest.
local KILLS, MOST_ENDS = {['lease-ended'] = true, restarted = true}, 16

local function oldest_end(lines)
  for i, line in ipairs(lines) do
    if not KILLS[string.match(line, '^%d+|([^|]*)')] then return i end
  end
  return 1
end

local function note_end(t, how)
  local lines = {}
  for line in string.gmatch(redis.call('HGET', t.key, 'ends') or '', '[^\n]+') do lines[#lines + 1] = line end
  if #lines >= MOST_ENDS then table.remove(lines, oldest_end(lines)) end
  lines[#lines + 1] = table.concat({NOW, how, t.executor, t.fraction or ''}, '|')
  change(t, 'ends', table.concat(lines, '\n'))
end
