-- Ends what is due: reservations, deadlines, node leases, back-offs; names what retention lets go.
-- The outage rule: a gap between two ticks longer than gap_ms means that nobody could renew; no lease
-- ends for grace_ms after it, so that nodes have time to come back. What is no lease goes on.
-- A: limit, gap_ms, grace_ms, retry_ms (for the caller's part of retention), retention_ms (of nodes),
--    timeout_error (JSON), delays (ms), max_kills, poison_error (see kill.lua), deadline_error, queue_error, stalled_error,
--    task_deadline_error (JSON), dependency_error (see followers.lua), breaker (see breaker.lua)
-- Returns {grace, stops = [{task, grant, executor}], halted = [the same, of what is paused], jobs = [past retention], artifacts, nodes = [lost],
--   expired = {what: count}, queues = [touched], freed (see freed.lua), more = call again at once,
--   dead = {code of the error: new dead letters}, opened = {capability: breakers}}.
-- @include base events scores state record rule names queue held admit counts job settle progress children missing revive
-- @include capacity freed grants share ends attempt lose
-- @include revoke dead unhold pools health shape breaker failure kill doubt node followers followups expire live restore overdue retention
-- @include sessions session_end interrupt halt pauses rested
-- @include relief
local result = {grace = false, stops = {}, jobs = {}, artifacts = {}, nodes = {}, halted = {}, expired = {}, more = false}
local last = redis.call('HMGET', P .. 'tick', 'at', 'grace_until')
local grace_until = tonumber(last[2] or '0')
if not last[1] or NOW - tonumber(last[1]) > A.gap_ms then grace_until = NOW + A.grace_ms end
redis.call('HSET', P .. 'tick', 'at', NOW, 'grace_until', grace_until)

result.grace = NOW < grace_until

-- Returns what ended, or nil if nothing did.
local function expire(entry)
  local what, id, rest = string.match(entry, '^([%a-]+)|([^|]+)|?(.*)$')
  if result.grace and IS_LEASE[what] then
    set_score(P .. 'due', entry, grace_until)
  elseif name_retention(what, id, result) then
    return what
  elseif handle[what] then
    -- Removed first, so that a handler may set it anew.
    drop_score(P .. 'due', entry)
    if handle[what](id, rest, result) ~= false then return what end
  else
    -- A newer version's; one of its instances will see to it.
    set_score(P .. 'due', entry, NOW + A.retry_ms)
  end
end

local entries = redis.call('ZRANGEBYSCORE', P .. 'due', '-inf', NOW, 'LIMIT', 0, A.limit)
for _, entry in ipairs(entries) do
  local what = expire(entry)
  if what then result.expired[what] = (result.expired[what] or 0) + 1 end
end
local left = follow_ups()
result.more = result.more or left or #entries == A.limit
result.queues, result.freed, result.dead = touched_queues, freed_capacity(), dead_codes
result.opened = breakers_opened
return reply(result)
