-- A job past its deadline fails; its open tasks are swept by the planner that finds it in `dirty`, see cancel.lua.
handle['job-deadline'] = function(job)
  local j = read_job(job)
  if not j.status or FINAL_STATUS[j.status] then return false end
  change(j, 'overdue', 1)
  change(j, 'version', j.version + 1)
  close_job(j, 'failed', 'error', A.deadline_error)
  save(j)
end
