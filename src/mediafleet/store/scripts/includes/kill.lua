-- Poison: a task that ran on nodes when they were lost, so often that it may be what ends them. `kills` are the grants
-- of those attempts; one whose node comes back with it (announced.lua) counts no more.
-- A: max_kills (0 for no limit), poison_error (JSON)

-- Ends an attempt whose node is lost, see KILLS. Returns whether the task waits again.
local function lose_with_node(t, standing, how)
  if t.standing ~= 'running' or t.grant ~= t.this or A.max_kills == 0 then return lose(t, standing, 0, how) end
  local kills, count = redis.call('HGET', t.key, 'kills') or '', 1
  for _ in string.gmatch(kills, '%S+') do count = count + 1 end
  change(t, 'kills', kills .. ' ' .. t.this)
  exclude(t)
  if count < A.max_kills then return lose(t, standing, 0, how) end
  release(t.executor, t.this, t)
  forget_timers(t.id, t.this, t.limits)
  note_end(t, how)
  mark(t, 'revoked')
  fail_for_good(t, A.poison_error)
  return false
end
