-- Reviews: tasks that a person does. One that may be done has the grant `person`, which stands as `asked` (held.lua); its
-- answer is a result as any other. `reviewed` of a job are the names of those that were answered, the newest last.

-- Only while all of its job waits for people: what is at work may change what they look at.
local function may_answer(t)
  return t.standing ~= 'asked' or redis.call('HGET', P .. 'job:' .. t.job, 'status') == 'review'
end

-- `j` was read after the review left `reviews`.
local function note_answer(t, j)
  local name = string.match(t.id, '%.(.*)$')
  local before = redis.call('HGET', j.key, 'reviewed')
  change(j, 'reviewed', before and before .. ' ' .. name or name)
  if not j.started then change(j, 'started', NOW) end
  if j.reviews == '' then move_job(j, 'processing') end
  emit('job.reviewed', 'job', j.id, '{"status":"' .. j.status .. '","task":"' .. name .. '"}')
end

-- A.people = how many tasks were open when nothing but reviews could go on, 0 where something else could. What was added
-- since may go on by itself; where it was in this call (`changed` = tasks added or taken back) all is looked at again.
local function await_people(j, changed)
  if person.asked[j.id] or (changed > 0 and (j.reviews or '') ~= '') then return set_score(P .. 'dirty', j.id, NOW) end
  local waits = {pending = true, uploading = true, processing = true}
  if A.people == 0 or changed > 0 or j.open ~= A.people or not waits[j.status] then return end
  move_job(j, 'review')
  emit('job.asked', 'job', j.id, '{"status":"review"}')
end
