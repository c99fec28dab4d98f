-- Removes the record of an artifact. Jobs that still wait for its bytes fail.
-- A: id, error (JSON), unused = only if no job uses it
-- Returns {dropped}.
-- @include base
-- @include queue
-- @include job
local key = P .. 'artifact:' .. A.id
local state = redis.call('HGET', key, 'state')
local jobs = redis.call('SMEMBERS', key .. ':jobs')
if A.unused and #jobs > 0 then return cmsgpack.pack({dropped = false}) end
for _, job in ipairs(jobs) do
  local status = redis.call('HGET', P .. 'job:' .. job, 'status')
  if state == 'open' and status and not FINAL_STATUS[status] then close_job(job, 'failed', 'error', A.error, A.error) end
end
redis.call('ZREM', P .. 'due', 'artifact|' .. A.id)
redis.call('DEL', key, key .. ':jobs', key .. ':children')
return cmsgpack.pack({dropped = true})
