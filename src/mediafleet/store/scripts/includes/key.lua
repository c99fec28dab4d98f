-- The idempotency key of a job is free again, unless another job has it by now.
local function free_key(j)
  local key = redis.call('HGET', j.key, 'key')
  if not key then return end
  local name = P .. 'idem:' .. j.tenant .. ':' .. key
  if redis.call('GET', name) == j.id then redis.call('DEL', name) end
  redis.call('HDEL', j.key, 'key')
end
