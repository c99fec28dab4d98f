-- All bytes of an upload are there: what waited for it can go on.
-- A: id, doc (with size and hash)
-- Returns {completed, queues = [touched]}: false if the upload was given up meanwhile.
-- @include base
-- @include state
-- @include queue
-- @include job
-- @include task
local key = P .. 'artifact:' .. A.id
if redis.call('HGET', key, 'state') ~= 'open' then return cmsgpack.pack({completed = false, queues = {}}) end
redis.call('HSET', key, 'doc', A.doc, 'state', 'complete')
satisfy_children(key .. ':children')
for _, job in ipairs(redis.call('SMEMBERS', key .. ':jobs')) do
  if redis.call('HGET', P .. 'job:' .. job, 'status') == 'uploading' then set_status(job, 'pending') end
end
return cmsgpack.pack({completed = true, queues = touched_queues()})
