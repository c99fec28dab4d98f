-- What the reaper does for pauses: it goes on where a caller died, and stops what runs on nodes at once.
local MOST_STOPS, MOST_NODES = 256, 256

handle['pause'] = function(job, _, result)
  local j = read_job(job)
  local cursor, how = string.match(redis.call('HGET', j.key, 'pausing') or '', '^(%d+)|(%a+)$')
  if j.status ~= 'paused' or not cursor then return false end
  if halt_piece(j, tonumber(cursor), PIECE, how == 'now', result.halted) > 0 then
    set_score(P .. 'due', 'pause|' .. job, NOW)
    result.more = true
  end
end

handle['resume'] = function(job, _, result)
  local j = read_job(job)
  if not j.status or j.status == 'paused' or FINAL_STATUS[j.status] then return false end
  if release_piece(j, PIECE) then
    set_score(P .. 'due', 'resume|' .. job, NOW)
    result.more = true
  end
end

local function is_fleet_stopped() return string.match(redis.call('GET', P .. 'paused') or '', '|now$') ~= nil end

-- Of a node that is paused, or of any while the fleet is.
handle['stop'] = function(node, _, result)
  local is_wanted = redis.call('HGET', P .. 'node:' .. node, 'paused') == '1' or is_fleet_stopped()
  if is_wanted and interrupt_node(node, MOST_STOPS, result.halted) then
    set_score(P .. 'due', 'stop|' .. node, NOW)
    result.more = true
  end
end

handle['stop-fleet'] = function(cursor, _, result)
  if not is_fleet_stopped() then return false end
  local nodes = redis.call('ZRANGE', P .. 'nodes', cursor, cursor + MOST_NODES - 1)
  for _, node in ipairs(nodes) do set_score(P .. 'due', 'stop|' .. node, NOW) end
  if #nodes == MOST_NODES then set_score(P .. 'due', string.format('stop-fleet|%d', cursor + MOST_NODES), NOW) end
  result.more = true
end
