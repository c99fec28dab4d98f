-- Retention is finished by the caller, which also removes bytes; until it says so the entry comes back.
local function name_retention(what, id, result)
  local list = (what == 'job' and result.jobs) or (what == 'artifact' and result.artifacts)
  if not list then return false end
  list[#list + 1] = id
  set_score(P .. 'due', what .. '|' .. id, NOW + A.retry_ms)
  return true
end
