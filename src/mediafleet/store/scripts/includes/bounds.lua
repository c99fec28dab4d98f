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

-- A job whose plan has still to be asked counts as one task.
local function count_asked(known)
  local asked, fields = {}, {}
  local function add(field, count)
    if bound_of(field) <= 0 then return end
    if not asked[field] then fields[#fields + 1] = field end
    asked[field] = (asked[field] or 0) + count
  end
  for position, job in ipairs(A.jobs) do
    if not known[position] then
      local count = math.max(1, #job.tasks)
      add('all', count)
      add('tenant:' .. job.tenant, count)
      if job.tasks[1] then add('class:' .. class_of(job.tasks[1].queue), count) end
    end
  end
  return asked, fields
end

-- Returns the first bound that does not hold, {field, open, most, asked}, or nil.
local function find_full(known)
  if not A.bounds then return end
  local asked, fields = count_asked(known)
  if #fields == 0 then return end
  local open = redis.call('HMGET', P .. 'open', unpack(fields))
  for i, field in ipairs(fields) do
    local count, most = tonumber(open[i] or '0'), bound_of(field)
    if count + asked[field] > most then return {field = field, open = count, most = most, asked = asked[field]} end
  end
end
