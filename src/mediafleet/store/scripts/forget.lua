-- Removes a job past its retention, in pieces; its artifacts become due for removal if no other job uses them.
-- A job with open tasks, or with revoked work that no node has confirmed to have stopped, stays: the reaper names it again.
-- A: job, inputs = [artifact ids], piece
-- Returns {done}: false if the caller must call again.
-- @include base events scores record rule names queue held counts job key holds outputs
local key = P .. 'job:' .. A.job
local j = read_job(A.job)
if not j.status then drop_score(P .. 'due', 'job|' .. A.job) end
if not FINAL_STATUS[j.status] or j.open > 0 then return reply({done = true}) end
-- Nor does one go before all that waited for it know how it ended.
if j.followed and redis.call('EXISTS', key .. ':followers') == 1 then return reply({done = true}) end

for _ = 1, A.piece do
  local task = redis.call('LINDEX', key .. ':tasks', 0)
  if not task then break end
  local t = read_task(task, {'state', 'attempt'})
  local is_simple = not t.attempt or (t.state == 'DONE' and t.attempt == '1')
  if not is_simple and holds_slots(task) then return reply({done = true}) end
  if t.queue then count_tasks(t.queue, -1) end
  redis.call('LPOP', key .. ':tasks')
  drop_score(P .. 'dead', task)
  redis.call('DEL', P .. 'task:' .. task, P .. 'task:' .. task .. ':children')
end
if redis.call('EXISTS', key .. ':tasks') == 1 then return reply({done = false}) end

for _, artifact in ipairs(A.inputs) do unbind(artifact, A.job) end
for _, artifact in ipairs(redis.call('SMEMBERS', key .. ':outputs')) do unbind(artifact, A.job) end
free_key(j)
for _, index_key in ipairs({'jobs', 'jobs:' .. j.status, 'kind:' .. j.kind, 'dirty'}) do
  drop_score(P .. index_key, A.job)
end
drop_score(P .. 'due', 'job|' .. A.job)
local batch = redis.call('HGET', key, 'batch')
if batch then drop_score(P .. 'batch:' .. batch, A.job) end
redis.call('DEL', key, key .. ':outputs', held_key(A.job))
redis.call('HDEL', P .. 'chains', A.job)
return reply({done = true})
