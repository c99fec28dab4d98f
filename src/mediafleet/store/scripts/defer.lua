-- The caller cannot plan a job, since it lacks its kind or that version of it. The job stays dirty, behind all those that
-- anybody may plan, until an instance plans it that has what it needs, or something else happens to it.
-- A: job, version, aside_ms = beyond all times
-- Returns {deferred}
-- @include base events scores
local at = tonumber(redis.call('ZSCORE', P .. 'dirty', A.job) or A.aside_ms)
local is_current = redis.call('HGET', P .. 'job:' .. A.job, 'version') == tostring(A.version)
local deferred = is_current and at < A.aside_ms
if deferred then set_score(P .. 'dirty', A.job, A.aside_ms + NOW) end
return reply({deferred = deferred})
