-- Events of one call share entries of the stream, so that each costs a line and not a command (docs/decisions/0002).
-- `field` is job or node; `data` is JSON, which has no line ends and no tabs between its tokens.
local LINES, happened = 16, {}

local function emit(event, field, id, data)
  happened[#happened + 1] = event .. '\t' .. field .. '\t' .. id .. '\t' .. (data or '{}')
end

local function write_events()
  for first = 1, #happened, LINES do
    redis.call('XADD', P .. 'events', 'MAXLEN', '~', A.history or 10000, '*',
      'e', table.concat(happened, '\n', first, math.min(first + LINES - 1, #happened)))
  end
end
