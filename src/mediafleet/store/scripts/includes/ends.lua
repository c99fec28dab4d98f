-- What is known of a task's attempts that gave no result: "<ms>|<how>|<executor>" a line, the newest last.
-- How: failed · timed-out · stalled · rejected · stopped · unconfirmed · unlinked · goodbye · removed, and those of KILLS: while its
-- node had it, the node fell silent for a lease, came back without it, or did not speak of it for a lease.
local KILLS, MOST_ENDS = {['lease-ended'] = true, restarted = true, silent = true}, 16

local function note_end(t, how)
  local lines = {}
  for line in string.gmatch(redis.call('HGET', t.key, 'ends') or '', '[^\n]+') do lines[#lines + 1] = line end
  lines[#lines + 1] = NOW .. '|' .. how .. '|' .. t.executor
  local first = math.max(1, #lines - MOST_ENDS + 1)
  change(t, 'ends', table.concat(lines, '\n', first))
end
