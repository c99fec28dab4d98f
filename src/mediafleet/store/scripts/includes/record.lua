-- A hash that a script reads once and writes once: what changes is gathered in between.
local function read_record(key, fields)
  local values, record = redis.call('HMGET', key, unpack(fields)), {key = key, changes = {}}
  for i, field in ipairs(fields) do record[field] = values[i] end
  return record
end

local function change(record, field, value)
  record[field] = value
  add_pair(record.changes, field, type(value) == 'number' and text_of(value) or value)
end

local function save(record)
  if #record.changes == 0 then return end
  redis.call('HSET', record.key, unpack(record.changes))
  record.changes = {}
end
