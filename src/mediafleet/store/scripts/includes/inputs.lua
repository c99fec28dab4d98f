-- Inputs of a new job.

-- A repeated submission is answered even if its inputs are gone by now.
local function find_missing(known)
  for position, job in ipairs(A.jobs) do
    for _, artifact in ipairs(known[position] and {} or job.inputs) do
      if redis.call('EXISTS', P .. 'artifact:' .. artifact) == 0 then return artifact end
    end
  end
end

-- Returns how many inputs are still being uploaded; those keep their time limit.
local function bind_inputs(job)
  local uploads = 0
  for _, artifact in ipairs(job.inputs) do
    local is_new = redis.call('SADD', P .. 'artifact:' .. artifact .. ':jobs', job.id) == 1
    if redis.call('HGET', P .. 'artifact:' .. artifact, 'state') ~= 'open' then
      drop_score(P .. 'due', 'artifact|' .. artifact)
    elseif is_new then
      uploads = uploads + 1
    end
  end
  return uploads
end
