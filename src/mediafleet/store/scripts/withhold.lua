-- Nodes answered that they lack what they claimed: it leaves the signatures of their executors for a while.
-- A: reports = [{node, task, grant, capability, reason}], span_ms = how long at first, longest_ms
-- Returns {withheld = [{executor, capability, until_ms}], freed (see freed.lua), queues = [touched]}.
-- @include base events scores record names queue held capacity freed unhold pools health shape
-- @include relief
local withheld = {}

-- The attempt names the executor; a node speaks of its own only.
local function executor_of(report)
  local found = redis.call('HGET', P .. 'task:' .. report.task, 'grant:' .. report.grant)
  local id = string.match(found or '', '|(.*)$')
  return id and string.match(id, '^[^/]*') == report.node and id
end

local function claims(e, capability)
  local declared = redis.call('HGET', e.key, 'declared')
  return declared and string.find(declared, '"' .. capability .. '"', 1, true)
end

for _, report in ipairs(A.reports) do
  local id = executor_of(report)
  local e = id and read_executor(id)
  if e and e.slots and claims(e, report.capability) then
    local entry = health_of(e).withheld[report.capability]
    -- A task that was on its way when the capability left says the same once more.
    if not is_out(entry) then
      entry = {cause = 'missing', times = entry and entry.times + 1 or 1, reason = report.reason}
      withhold(e, report.capability, entry, A.span_ms, A.longest_ms)
      withheld[#withheld + 1] = {executor = id, capability = report.capability, until_ms = entry.until_ms}
    end
  end
end
return reply({withheld = withheld, freed = freed_capacity(), queues = touched_queues})
