-- An artifact stays as long as a job uses it; `job:<id>:outputs` are those that its tasks made.
local function bind_outputs(outputs, job)
  for _, artifact in ipairs(outputs) do
    drop_score(P .. 'due', 'artifact|' .. artifact)
    redis.call('SADD', P .. 'artifact:' .. artifact .. ':jobs', job)
    redis.call('SADD', P .. 'job:' .. job .. ':outputs', artifact)
  end
end

-- One that no job uses any more is removed at the reaper's next tick.
local function unbind(artifact, job)
  local users = P .. 'artifact:' .. artifact .. ':jobs'
  redis.call('SREM', users, job)
  if redis.call('EXISTS', users) == 0 and redis.call('EXISTS', P .. 'artifact:' .. artifact) == 1 then
    set_score(P .. 'due', 'artifact|' .. artifact, NOW)
  end
end

-- What tasks made for other tasks is of no use once the job is done; one that failed may still be retried.
local function keep_outputs(outputs, job)
  local kept = {}
  for _, artifact in ipairs(outputs) do kept[artifact] = true end
  for _, artifact in ipairs(redis.call('SMEMBERS', P .. 'job:' .. job .. ':outputs')) do
    if not kept[artifact] then
      redis.call('SREM', P .. 'job:' .. job .. ':outputs', artifact)
      unbind(artifact, job)
    end
  end
end
