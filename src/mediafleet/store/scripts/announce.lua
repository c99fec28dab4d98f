-- An instance says that it lives, and leads if nobody does: by a lock with expiry, and a fencing epoch that rises with
-- each new leader and that every write of a leader is checked against (includes/leads.lua).
-- A: instance, doc (JSON about it), ttl_ms (of its presence), lead_ms (of the leadership)
-- Returns {leader, epoch, config_version}.
-- @include base events scores
-- @include relief
redis.call('SET', P .. 'instance:' .. A.instance, '1', 'PX', A.ttl_ms)
redis.call('HSET', P .. 'instances', A.instance, A.doc)
local leader = redis.call('GET', P .. 'leader')
if not leader then
  leader = A.instance
  redis.call('SET', P .. 'leader', leader, 'PX', A.lead_ms)
  redis.call('INCR', P .. 'leader:epoch')
elseif leader == A.instance then
  redis.call('PEXPIRE', P .. 'leader', A.lead_ms)
end
return reply({leader = leader, epoch = tonumber(redis.call('GET', P .. 'leader:epoch')),
  config_version = tonumber(redis.call('HGET', P .. 'config', 'version') or '0')})
