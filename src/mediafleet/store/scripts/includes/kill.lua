-- Poison: a task that was at work on nodes when they died, so often that it may be what ends them. A node has died when its
-- lease ends, or when another process of it registers without the attempt. `kills` of a task are those deaths, a word each:
-- "<grant>|<node>", or "?<grant>|<node>" while nobody knows (doubt.lua). One whose node comes back with the attempt
-- (announced.lua) counts no more.
-- A: max_kills (nodes; 0 for no limit), poison_error (JSON, with {nodes} for their names)

-- A node that dies again and again may be ill by itself, so it counts once; but not without end: so many deaths a node.
local DEATHS = 3

local function read_kills(t)
  local kills = {}
  for doubt, grant, node in string.gmatch(t.kills or redis.call('HGET', t.key, 'kills') or '', '(%??)([^|%s]+)|?(%S*)') do
    kills[#kills + 1] = {is_sure = doubt == '', grant = grant, node = node ~= '' and node or grant}
  end
  return kills
end

local function write_kills(t, kills)
  local entries = {}
  for i, kill in ipairs(kills) do entries[i] = (kill.is_sure and '' or '?') .. kill.grant .. '|' .. kill.node end
  change(t, 'kills', table.concat(entries, ' '))
end

-- Returns the error of a task with these kills if they are enough. `with_doubts` = as if what nobody knows were known.
local function poison_of(kills, with_doubts)
  local nodes, times, deaths = {}, {}, 0
  for _, kill in ipairs(kills) do
    if kill.is_sure or with_doubts then
      if not times[kill.node] then nodes[#nodes + 1] = kill.node end
      times[kill.node] = (times[kill.node] or 0) + 1
      deaths = deaths + 1
    end
  end
  if #nodes < A.max_kills and deaths < DEATHS * A.max_kills then return nil end
  for i, node in ipairs(nodes) do
    if times[node] > 1 then nodes[i] = node .. ' (' .. times[node] .. ' times)' end
  end
  local names = table.concat(nodes, ', ')
  return (string.gsub(A.poison_error, '{nodes}', function() return names end))
end

-- Ends an attempt whose node has died, see KILLS. Returns whether the task waits again.
local function lose_with_node(t, standing, how)
  if t.standing ~= 'running' or t.grant ~= t.this or A.max_kills == 0 then return lose(t, standing, 0, how) end
  local kills = read_kills(t)
  kills[#kills + 1] = {is_sure = true, grant = t.this, node = string.match(t.executor, '^[^/]*')}
  write_kills(t, kills)
  exclude(t)
  local poison = poison_of(kills)
  if not poison then return lose(t, standing, 0, how) end
  release(t.executor, t.this, t)
  forget_timers(t.id, t.this, t.limits)
  note_end(t, how)
  mark(t, 'revoked')
  fail_for_good(t, poison)
  return false
end
