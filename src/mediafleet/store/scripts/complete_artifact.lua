-- All bytes of an upload are there: what waited for it can go on.
-- A: id, doc (JSON, with size and hash)
-- Returns {completed, queues = [touched]}: false if the upload was given up meanwhile.
-- @include base events scores record rule names queue held admit counts job children
-- @include relief
local key = P .. 'artifact:' .. A.id
if redis.call('HGET', key, 'state') ~= 'open' then return cmsgpack.pack({completed = false, queues = {}}) end
redis.call('HSET', key, 'doc', A.doc, 'state', 'complete')
local jobs = redis.call('SMEMBERS', key .. ':jobs')
if #jobs > 0 then drop_score(P .. 'due', 'artifact|' .. A.id) end
for _, id in ipairs(jobs) do
  local j = read_job(id)
  if j.status then
    change(j, 'uploads', tonumber(j.uploads or '0') - 1)
    if j.uploads <= 0 and j.status == 'uploading' and not j.started then move_job(j, 'pending') end
    save(j)
  end
end
satisfy_children('artifact', A.id)
return reply({completed = true, queues = touched_queues})
