-- What the reaper does with an entry of `due`, by its first word; `result` is its reply.
local IS_LEASE = {reserve = true, deadline = true, idle = true, node = true, live = true, session = true}
local handle, PIECE = {}, 256

handle['reserve'] = function(task, grant)
  local t = read_attempt(task, grant)
  if t.standing == 'reserved' then lose(t, 'lost', 0, 'unconfirmed') end
end

handle['deadline'] = function(task, grant, result)
  local t = read_attempt(task, grant)
  if t.standing ~= 'running' then return end
  -- The node still works on it: its slots stay taken until it confirms that it stopped.
  spend_try(t, {error = A.timeout_error, retryable = true, delays = A.delays, keep = true, end_as = 'timed-out'})
  result.stops[#result.stops + 1] = {task = task, grant = grant, executor = t.executor}
end

-- Its node has not spoken of it for a lease. What was revoked only gives its slots back.
handle['idle'] = function(task, grant)
  local t = read_attempt(task, grant)
  if t.standing == 'running' then
    exclude(t)
    return lose(t, 'lost', 0, 'silent')
  end
  return t.standing ~= nil and t.standing ~= 'reserved' and release(t.executor, grant, t)
end

handle['hold'] = function(task)
  local t = read_task(task, {'state'})
  if t.state == 'NEW' then enqueue(t) end
end

handle['node'] = function(node, _, result)
  settle_doubts(node, always)
  drop_node(node, A.retention_ms, function(t) return lose_with_node(t, 'lost', 'lease-ended') end)
  result.nodes[#result.nodes + 1] = node
end

handle['wake'] = function(what, id, result)
  if satisfy_children(what, id) then result.more = true end
end

handle['revive'] = function(job)
  local j = read_job(job)
  if j.reviving and not FINAL_STATUS[j.status] then revive_piece(j, tonumber(j.reviving), PIECE) end
end

handle['hold-end'] = function(executor) relist(executor) end

handle['fade'] = function(pool) fade_pool(pool) end

handle['forget-node'] = function(node)
  for _, executor in ipairs(executors_of(node)) do
    forget_health(read_executor(executor))
    redis.call('DEL', P .. 'executor:' .. executor)
  end
  redis.call('DEL', P .. 'node:' .. node, P .. 'node:' .. node .. ':executors', P .. 'node:' .. node .. ':unsure')
  redis.call('ZREM', P .. 'nodes', node)
end
