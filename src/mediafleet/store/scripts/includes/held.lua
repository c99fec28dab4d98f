-- Tasks enter queues and leave them. Those of a paused job wait in `job:<id>:held` instead, by the score that they go back
-- with: a paused job is in no queue, so that nothing that is placed is tested for it (docs/decisions/0026).
local paused_jobs, any_paused = {}, nil

local function held_key(job) return P .. 'job:' .. job .. ':held' end

-- One command a call while no job is paused, and one a job otherwise.
local function is_paused(job)
  if paused_jobs[job] == nil then
    if any_paused == nil then any_paused = redis.call('EXISTS', P .. 'jobs:paused') == 1 end
    paused_jobs[job] = any_paused and redis.call('ZSCORE', P .. 'jobs:paused', job) ~= false
  end
  return paused_jobs[job]
end

-- `reviews` of a job are the names of the tasks that a person may do now. Its plan is asked: it knows whether anything else
-- of the job can go on (review.lua).
function person.ask(t, is_asked)
  local key, name, names = P .. 'job:' .. t.job, string.match(t.id, '%.(.*)$'), {}
  for other in string.gmatch(redis.call('HGET', key, 'reviews') or '', '%S+') do
    if other ~= name then names[#names + 1] = other end
  end
  if is_asked then
    names[#names + 1] = name
    redis.call('HSET', P .. 'task:' .. t.id, 'grant:person', 'asked|')
    set_score(P .. 'dirty', t.job, NOW)
    person.asked[t.job] = true
  else
    redis.call('HDEL', P .. 'task:' .. t.id, 'grant:person')
  end
  redis.call('HSET', key, 'reviews', table.concat(names, ' '))
end

-- What waited for a time (an entry `hold` of `due`) is put in by the reaper, which has removed that entry.
local function enqueue(t)
  if person.queues[t.queue] then return person.ask(t, true) end
  if is_paused(t.job) then return set_score(held_key(t.job), t.id, t.score) end
  set_score(tenant_key(t.queue, t.tenant), t.id, t.score)
  start_limit(t, 'queue', 'queued|' .. t.id)
  enter(t.queue, t.tenant)
end

local function unqueue(t)
  if person.queues[t.queue] then person.ask(t, false) end
  local key = tenant_key(t.queue, t.tenant)
  drop_score(key, t.id)
  if is_paused(t.job) then drop_score(held_key(t.job), t.id) end
  drop_score(P .. 'due', 'hold|' .. t.id)
  if t.limits ~= '' then drop_score(P .. 'due', 'queued|' .. t.id) end
  left[key] = {queue = t.queue, tenant = t.tenant}
end
