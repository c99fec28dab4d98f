-- As enqueue, but no sooner than the task may begin; `t` was read with `not_before`.
local function admit(t)
  local at = tonumber(t.not_before or '0')
  if at <= NOW then return enqueue(t) end
  set_score(P .. 'due', 'hold|' .. t.id, at)
end
