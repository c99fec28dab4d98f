-- The leader writes the rules that all instances follow. A leader that slept through its lease is refused: another
-- may have been elected meanwhile, or nobody, and then nobody may write.
-- A: lead = {instance, epoch}, doc (JSON)
-- Returns {accepted, version = which rises only when the rules change}.
-- @include base events scores leads
local is_leader = leads(A.lead)
local found = redis.call('HMGET', P .. 'config', 'version', 'doc')
local version = tonumber(found[1] or '0')
if is_leader and found[2] ~= A.doc then
  version = version + 1
  redis.call('HSET', P .. 'config', 'version', version, 'doc', A.doc, 'epoch', A.lead.epoch, 'instance', A.lead.instance)
end
return reply({accepted = is_leader, version = version})
