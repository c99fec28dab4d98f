-- The leader writes the rules that all instances follow. A leader that slept through its lease is refused: another
-- may have been elected meanwhile, or nobody, and then nobody may write.
-- A: instance, epoch, doc (JSON)
-- Returns {accepted, version = which rises only when the rules change}.
-- @include base events scores
local is_leader = redis.call('GET', P .. 'leader') == A.instance
  and redis.call('GET', P .. 'leader:epoch') == tostring(A.epoch)
local found = redis.call('HMGET', P .. 'config', 'version', 'doc')
local version = tonumber(found[1] or '0')
if is_leader and found[2] ~= A.doc then
  version = version + 1
  redis.call('HSET', P .. 'config', 'version', version, 'doc', A.doc, 'epoch', A.epoch, 'instance', A.instance)
end
return reply({accepted = is_leader, version = version})
