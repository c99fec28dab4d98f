-- How fast work of a sort goes: `<size>|<milliseconds>|<tasks>|<when>` by `<pace>|<node>`, with no node for all together.
-- Each measurement counts four fifths of the next one. There are never many: a new one takes the place of an old one.
local PACE_KEEPS = 0.8
local MOST_PACES = 4000
local PACE_MS = 30 * 24 * 3600 * 1000

local function drop_old_pace(key)
  local oldest, found
  local fields = redis.call('HRANDFIELD', key, 8)
  for i, text in ipairs(redis.call('HMGET', key, unpack(fields))) do
    local at = tonumber(string.match(text, '[^|]*$'))
    if not oldest or at < oldest then oldest, found = at, fields[i] end
  end
  redis.call('HDEL', key, found)
end

local function add_pace(key, field, did)
  local old = redis.call('HGET', key, field)
  if not old and redis.call('HLEN', key) >= MOST_PACES then drop_old_pace(key) end
  local size, took, tasks = string.match(old or '0|0|0|0', '^([^|]*)|([^|]*)|([^|]*)|')
  local text = string.format('%.9g|%.9g|%.9g|%.0f', size * PACE_KEEPS + (did.size or 0),
    took * PACE_KEEPS + math.max(1, did.took_ms or 0), tasks * PACE_KEEPS + 1, NOW)
  redis.call('HSET', key, field, text)
end

local function note_pace(did, node)
  local key = P .. 'paces'
  add_pace(key, did.pace .. '|' .. node, did)
  add_pace(key, did.pace .. '|', did)
  redis.call('PEXPIRE', key, PACE_MS)
end
