-- Bounds of what is accepted: open tasks of all, of each class and of each tenant. A submission fits whole or not at all.
-- What is known already is not counted, nor is what plans of accepted jobs add later: only a new job is ever refused.
-- A.bounds = {all, tenant, class = {l, i, b}}, 0 for none

-- Jobs that are there already, or stand earlier in this call, by position: their idempotency keys say so.
local function find_known()
  local known, seen = {}, {}
  for position, job in ipairs(A.jobs) do
    if job.key ~= '' then
      local key = P .. 'idem:' .. job.tenant .. ':' .. job.key
      known[position] = seen[key] or redis.call('GET', key) or nil
      seen[key] = known[position] or job.id
    end
  end
  return known
end

local function bound_of(field)
  local what, name = string.match(field, '^(%a+):?(.*)$')
  if what == 'class' then return A.bounds.class[name] end
  return A.bounds[what]
end

-- What is asked for, by class and tenant. A job whose plan has still to be asked counts as one task, of no class.
local function count_asked(known)
  local marks = {}
  for mark, count in pairs(A.coming and A.coming.tasks or {}) do marks[mark] = count end
  for position, job in ipairs(A.jobs) do
    if not known[position] then
      local mark, count = (job.tasks[1] and class_of(job.tasks[1].queue) or '-') .. job.tenant, 0
      for _, task in ipairs(job.tasks) do count = count + (person.queues[task.queue] and 0 or 1) end
      marks[mark] = (marks[mark] or 0) + math.max(1, count)
    end
  end
  return marks
end

-- The same by bound, for bounds that there are.
local function by_bound(marks)
  local counts = {}
  for mark, count in pairs(marks) do
    for _, field in ipairs({'all', 'tenant:' .. string.sub(mark, 2), 'class:' .. string.sub(mark, 1, 1)}) do
      if (bound_of(field) or 0) > 0 then counts[field] = (counts[field] or 0) + count end
    end
  end
  return counts
end

-- Returns the first bound that does not hold, {field, open (with what others keep room for), most, asked}, or nil.
local function find_full(known)
  if not A.bounds then return end
  local others, is_kept = kept_room()
  if is_kept then return end
  others = by_bound(others)
  for field, count in pairs(by_bound(count_asked(known))) do
    local open = tonumber(redis.call('HGET', P .. 'open', field) or '0') + (others[field] or 0)
    local most = bound_of(field)
    if open + count > most then return {field = field, open = open, most = most, asked = count} end
  end
end
