-- Applies what a plan returned, only at the job version that it was computed from.
-- A: job, version, outcome_of, tasks = [see create_task] (at most 256), last = no further piece follows,
--    outcome = {status, field, text, data, outputs} or nil, queues = {queue id: doc}, chains = what was decided about
--    the job's chains ('' for none), seen = what was recorded when it was, drop = [ids of tasks that others stand for],
--    more_weight = beside that of new tasks, whole = weight with what is to come (0: of what is there), waits = look
--    at chains when the fleet changes, pools = version of the set for that, weighed = version moves, people = await_people
-- Returns {applied, queues = [touched]}.
-- @include base events scores record rule names queue held admit counts job settle missing task outputs holds taken
-- @include children followers followups relief review
local j = read_job(A.job)
local recorded = A.chains ~= '' and (redis.call('HGET', j.key, 'chains') or '')
-- What a plan names follows from its version, but where chains run from the fleet as well: of two instances that saw
-- different fleets the first decides. Who decided the same goes on with the next piece.
local decides = recorded == A.seen
local differs = recorded and not decides and recorded ~= A.chains
local drops = decides or not recorded
if j.version ~= A.version or not j.status or FINAL_STATUS[j.status] or differs or (drops and not may_take_back(A.drop)) then
  return cmsgpack.pack({applied = false, queues = {}})
end
-- What waits for other jobs is planned when it goes on; until then only its failure counts.
if (redis.call('HGET', j.key, 'awaits') or '') ~= '' and (A.outcome and A.outcome.status) ~= 'failed' then
  drop_score(P .. 'dirty', A.job)
  return reply({applied = false, queues = {}})
end
create_queues()
local gone, lost = take_back(drops and A.drop or {})
if drops then
  change(j, 'open', j.open - gone)
  -- Chains weigh the same however they are laid out.
  change(j, 'weight', tonumber(j.weight) + (decides and A.more_weight or -lost))
end
if decides then change(j, 'chains', A.chains) end
if A.weighed then change(j, 'version', j.version + 1) end
local count, weight, is_graph = create_tasks(A.job, A.tasks)
if count > 0 then
  change(j, 'open', j.open + count)
  change(j, 'weight', A.whole > 0 and A.whole or tonumber(j.weight) + weight)
end
if is_graph then change(j, 'graph', '1') end
if A.last then
  if A.waits then redis.call('HSET', P .. 'chains', A.job, A.chains) elseif recorded then redis.call('HDEL', P .. 'chains', A.job) end
  change(j, 'outcome_of', A.outcome_of)
  -- Whoever looks through the chains when the fleet changes may have been here before this was decided.
  if A.waits and A.pools ~= tonumber(redis.call('GET', P .. 'pools:version') or '0') then
    set_score(P .. 'dirty', A.job, NOW)
  else
    drop_score(P .. 'dirty', A.job)
  end
  if A.outcome then
    bind_outputs(A.outcome.outputs, A.job)
    if A.outcome.status == 'completed' then keep_outputs(A.outcome.outputs, A.job) end
    close_job(j, A.outcome.status, A.outcome.field, A.outcome.text, A.outcome.data)
  else
    settle_job(j)
    await_people(j, count + gone)
  end
end
save(j)
follow_ups()
return reply({applied = true, queues = touched_queues})
