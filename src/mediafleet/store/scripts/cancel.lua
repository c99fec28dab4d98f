-- Cancels a job, or sweeps the open tasks of one that ended another way; in pieces of A.piece tasks.
-- A: job, cursor (0 to begin), piece, sweep = the job has ended already, data (JSON for the event),
--    withdrawn = why the call that it came in is refused (JSON), which may then come again with the same key; '' for none
-- Returns {status = before, cursor = of the next piece, 0 at the end, stops = [{task, grant, executor}],
--   dead = {code of the error: new dead letters}}.
-- @include base events scores state record rule names queue held counts job key capacity freed grants share ends attempt lose
-- @include revoke dead
-- @include relief
local j, stops = read_job(A.job), {}
local status = j.status or ''
local begins = A.cursor == 0 and not A.sweep
-- Only what has not ended can be cancelled; only what has ended can be swept: a retry may have come between.
if begins == (FINAL_STATUS[status] or false) or status == '' then
  if status == '' then drop_score(P .. 'dirty', A.job) end
  return reply({status = status, cursor = 0, stops = {}, dead = dead_codes})
end
if begins then
  if A.withdrawn ~= '' then
    free_key(j)
    change(j, 'error', A.withdrawn)
  end
  close_job(j, 'cancelled', 'stage', '', A.data)
  change(j, 'version', j.version + 1)
end

-- What a deadline ended are dead letters, with the error of their job.
local overdue = redis.call('HGET', j.key, 'overdue') and redis.call('HGET', j.key, 'error')

local function end_task(id)
  local t = read_task(id, {'state', 'attempt'})
  local state = after(t.state, 'cancel')
  if not state then return end
  if t.state == 'NEW' then unqueue(t) end
  forget_limits(t)
  if t.attempt then revoke_others(id, '', stops) end
  redis.call('HSET', t.key, 'state', state, 'grant', '')
  if overdue then
    redis.call('HSET', t.key, 'error', overdue)
    bury(id, A.job, overdue)
  end
  redis.call('DEL', t.key .. ':children')
  count_open(t, -1)
  change(j, 'open', j.open - 1)
end

local ids = redis.call('LRANGE', P .. 'job:' .. A.job .. ':tasks', A.cursor, A.cursor + A.piece - 1)
for _, id in ipairs(ids) do end_task(id) end
local cursor = #ids == A.piece and A.cursor + A.piece or 0
if cursor == 0 then
  drop_score(P .. 'dirty', A.job)
  redis.call('UNLINK', held_key(A.job))
end
save(j)
return reply({status = status, cursor = cursor, stops = stops, dead = dead_codes})
