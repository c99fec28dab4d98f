-- A job's progress is the weighted mean of its tasks' fractions, kept by difference.
-- `t` needs fraction and weight, `j` weight and done_weight.
local function set_fraction(t, j, fraction)
  local moved = (fraction - tonumber(t.fraction or '0')) * tonumber(t.weight or '1')
  if moved == 0 or FINAL_STATUS[j.status] then return end
  change(t, 'fraction', fraction)
  local done = tonumber(j.done_weight or '0') + moved
  change(j, 'done_weight', done)
  change(j, 'progress', math.max(0, math.min(1, done / math.max(tonumber(j.weight or '1'), 1e-9))))
end
