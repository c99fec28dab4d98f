-- Notes what the task must wait for; returns how many things. What is named twice counts once.
local function count_missing(id, after_ids, waits)
  local missing, seen = 0, {}
  for _, parent in ipairs(after_ids) do
    if not seen[parent] and redis.call('HGET', P .. 'task:' .. parent, 'state') ~= 'DONE' then
      redis.call('SADD', P .. 'task:' .. parent .. ':children', id)
      missing = missing + 1
    end
    seen[parent] = true
  end
  for _, artifact in ipairs(waits) do
    if not seen[artifact] and redis.call('HGET', P .. 'artifact:' .. artifact, 'state') == 'open' then
      redis.call('SADD', P .. 'artifact:' .. artifact .. ':children', id)
      missing = missing + 1
    end
    seen[artifact] = true
  end
  return missing
end
