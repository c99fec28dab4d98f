-- Removes the record of an upload that is not complete, once all jobs that named it have ended.
-- A: id
-- Returns {dropped}.
-- @include base events scores record rule job
local key = P .. 'artifact:' .. A.id
if redis.call('HGET', key, 'state') ~= 'open' then return cmsgpack.pack({dropped = false}) end
for _, id in ipairs(redis.call('SMEMBERS', key .. ':jobs')) do
  local status = read_job(id).status
  if status and not FINAL_STATUS[status] then return cmsgpack.pack({dropped = false}) end
end
drop_score(P .. 'due', 'artifact|' .. A.id)
redis.call('DEL', key, key .. ':jobs', key .. ':children')
return reply({dropped = true})
