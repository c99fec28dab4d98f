-- Applies what a plan returned, only at the job version that it was computed from.
-- A: job, version, outcome_of, tasks = [see create_task] (at most 256), last = no further piece follows,
--    outcome = {status, field, text, data, outputs} or nil, queues = {queue id: doc}
-- Returns {applied, queues = [touched]}.
-- @include base record rule names queue admit counts job task outputs
-- @include relief
local j = read_job(A.job)
if j.version ~= A.version or not j.status or FINAL_STATUS[j.status] then
  return cmsgpack.pack({applied = false, queues = {}})
end
create_queues()
local count, weight = create_tasks(A.job, A.tasks)
if count > 0 then
  change(j, 'open', j.open + count)
  change(j, 'weight', tonumber(j.weight) + weight)
end
if A.last then
  change(j, 'outcome_of', A.outcome_of)
  drop_score(P .. 'dirty', A.job)
  if A.outcome then
    bind_outputs(A.outcome.outputs, A.job)
    close_job(j, A.outcome.status, A.outcome.field, A.outcome.text, A.outcome.data)
  else
    settle_job(j)
  end
end
save(j)
return reply({applied = true, queues = touched_queues})
