-- The jobs that new jobs name to wait for, in a submission.
local first_of = {}

-- A job of this call that stands for an earlier one, by its idempotency key, is that one for those that wait for it.
local function resolve_after(known)
  local any = false
  for _, job in ipairs(A.jobs) do any = any or job.after[1] ~= nil end
  if not any then return end
  for position, job in ipairs(A.jobs) do first_of[job.id] = known[position] or job.id end
  for _, job in ipairs(A.jobs) do
    for i, other in ipairs(job.after) do job.after[i] = first_of[other] or other end
  end
end

-- Returns an id that no job has; of a repeated submission it does not matter any more.
local function find_unknown(known)
  local is_there = {}
  for position, job in ipairs(A.jobs) do
    for _, other in ipairs(known[position] and {} or job.after) do
      if not first_of[other] and not is_there[other] then
        if redis.call('EXISTS', P .. 'job:' .. other) == 0 then return other end
        is_there[other] = true
      end
    end
  end
end
