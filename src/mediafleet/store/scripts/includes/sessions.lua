-- Who owns a live session. `session:<id>` has owner, epoch (the fencing token, which rises with each claim by which it
-- changes hands or begins anew), ends (of the lease), next and acknowledged (indexes). Its record outlives the lease, so
-- that the epoch goes on rising.
local SESSION_KEEP_MS = 3600000

local function sessions_key(instance) return P .. 'instance:' .. instance .. ':sessions' end

local function read_session(id)
  local key = P .. 'session:' .. id
  local s = redis.call('HMGET', key, 'owner', 'epoch', 'ends')
  return {id = id, key = key, owner = s[1] or '', epoch = tonumber(s[2] or '0'), ends = tonumber(s[3] or '0')}
end

local function hold_session(s, owner, ends)
  redis.call('HSET', s.key, 'owner', owner, 'epoch', s.epoch, 'ends', ends)
  redis.call('PERSIST', s.key)
  set_score(P .. 'due', 'session|' .. s.id, ends)
end

local function end_lease(s)
  drop_score(P .. 'due', 'session|' .. s.id)
  if s.owner == '' then return false end
  redis.call('SREM', sessions_key(s.owner), s.id)
  redis.call('HSET', s.key, 'owner', '')
  redis.call('PEXPIRE', s.key, SESSION_KEEP_MS)
end
