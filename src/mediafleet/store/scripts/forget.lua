-- Removes a job past its retention, in pieces; its artifacts become due for removal if no other job uses them.
-- A: job, inputs = [artifact ids], piece
-- Returns {done}: false if the caller must call again.
-- @include base
-- @include record
-- @include queue
-- @include job
local key = P .. 'job:' .. A.job
local about = redis.call('HMGET', key, 'status', 'key', 'tenant', 'kind')
if not about[1] then drop_score(P .. 'due', 'job|' .. A.job) end
if not FINAL_STATUS[about[1]] then return reply({done = true}) end
for _ = 1, A.piece do
  local task = redis.call('LPOP', key .. ':tasks')
  if not task then break end
  local queue = redis.call('HGET', P .. 'task:' .. task, 'queue')
  if queue then count_tasks(queue, -1) end
  redis.call('DEL', P .. 'task:' .. task, P .. 'task:' .. task .. ':children')
end
if redis.call('EXISTS', key .. ':tasks') == 1 then return reply({done = false}) end

local function let_go(artifact)
  local users = P .. 'artifact:' .. artifact .. ':jobs'
  redis.call('SREM', users, A.job)
  if redis.call('EXISTS', users) == 0 and redis.call('EXISTS', P .. 'artifact:' .. artifact) == 1 then
    set_score(P .. 'due', 'artifact|' .. artifact, NOW)
  end
end

for _, artifact in ipairs(A.inputs) do let_go(artifact) end
for _, artifact in ipairs(redis.call('SMEMBERS', key .. ':outputs')) do let_go(artifact) end
if about[2] ~= '' then redis.call('DEL', P .. 'idem:' .. about[3] .. ':' .. about[2]) end
for _, index_key in ipairs({'jobs', 'jobs:' .. about[1], 'kind:' .. (about[4] or ''), 'dirty'}) do
  drop_score(P .. index_key, A.job)
end
drop_score(P .. 'due', 'job|' .. A.job)
redis.call('DEL', key, key .. ':outputs')
return reply({done = true})
