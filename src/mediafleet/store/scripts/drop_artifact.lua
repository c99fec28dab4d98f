-- Removes the record of an artifact. Jobs that still wait for its bytes fail.
-- A: id, error (JSON), unused = leave it if a job uses it, unless its upload was never completed
-- Returns {dropped}.
-- @include base events scores record rule job
local key = P .. 'artifact:' .. A.id
local state = redis.call('HGET', key, 'state')
local jobs = redis.call('SMEMBERS', key .. ':jobs')
drop_score(P .. 'due', 'artifact|' .. A.id)
if A.unused and #jobs > 0 and state ~= 'open' then return reply({dropped = false}) end
for _, id in ipairs(jobs) do
  local j = read_job(id)
  if state == 'open' and j.status and not FINAL_STATUS[j.status] then
    close_job(j, 'failed', 'error', A.error)
    save(j)
  end
end
redis.call('DEL', key, key .. ':jobs', key .. ':children')
return reply({dropped = true})
