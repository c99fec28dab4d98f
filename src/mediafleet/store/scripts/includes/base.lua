-- Every script: KEYS[1] = the cell's tagged prefix, "sched:{0}:"; ARGV[1] = one MessagePack map, `A`.
-- A.now (milliseconds) stands in for the server's clock in tests; A.history bounds the event stream.
local P = KEYS[1]
local A = cmsgpack.unpack(ARGV[1])

local function now_ms()
  if A.now then return A.now end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local NOW = now_ms()

-- Queues that got a task; the caller places them in the same tick.
local touched = {}

local function touched_queues()
  local list = {}
  for queue in pairs(touched) do list[#list + 1] = queue end
  return list
end

local function emit(event, field, id, data)
  redis.call('XADD', P .. 'events', 'MAXLEN', '~', A.history or 10000, '*',
    'type', event, field, id, 'data', data or '{}')
end
