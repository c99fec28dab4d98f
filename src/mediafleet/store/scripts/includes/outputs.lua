-- An artifact stays as long as a job uses it; `job:<id>:outputs` are those that its tasks made.
local function bind_outputs(outputs, job)
  for _, artifact in ipairs(outputs) do
    drop_score(P .. 'due', 'artifact|' .. artifact)
    redis.call('SADD', P .. 'artifact:' .. artifact .. ':jobs', job)
    redis.call('SADD', P .. 'job:' .. job .. ':outputs', artifact)
  end
end
