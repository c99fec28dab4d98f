-- Every script: KEYS[1] = the cell's tagged prefix, "sched:{0}:"; ARGV[1] = one MessagePack map, `A`.
-- A.now (milliseconds) stands in for the server's clock in tests; A.history bounds the event stream.
local P = KEYS[1]
local A = cmsgpack.unpack(ARGV[1])

local TIME = redis.call('TIME')
local NOW = A.now or TIME[1] * 1000 + math.floor(TIME[2] / 1000)

-- Lua cannot pass more than some thousands of arguments. `flag` goes before the items of each part.
local function call_in_parts(command, key, items, flag)
  for first = 1, #items, 2000 do
    local last = math.min(first + 1999, #items)
    if flag then
      redis.call(command, key, flag, unpack(items, first, last))
    else
      redis.call(command, key, unpack(items, first, last))
    end
  end
end

local function add_pair(list, first, second)
  list[#list + 1] = first
  list[#list + 1] = second
end

-- Redis writes each number that it is given with seventeen digits, which costs more than the command that takes it; the
-- same few numbers (this moment, an end of retention, small counts) stand in most writes of a call.
local texts = {}
local function text_of(number)
  local text = texts[number]
  if not text then
    text = string.format('%.17g', number)
    texts[number] = text
  end
  return text
end
