-- Sorted sets that a script writes and does not read again (`due`, `dirty`, the indexes of jobs, queues):
-- the last word on each member counts and is written at the end, one ZREM and one ZADD a key.
local index, before_write, after_write = {}, {}, {}

local function set_score(key, member, score)
  local members = index[key]
  if not members then
    members = {}
    index[key] = members
  end
  members[member] = score
end

local function drop_score(key, member) set_score(key, member, false) end

local function write_index(key, members)
  local gone, scored = {}, {}
  for member, score in pairs(members) do
    if score then
      add_pair(scored, text_of(score), member)
    else
      gone[#gone + 1] = member
    end
  end
  call_in_parts('ZREM', key, gone)
  call_in_parts('ZADD', key, scored)
end

-- A value that is a function, like `touched_queues`, is asked when what follows from all changes is known.
local function reply(value)
  for _, step in ipairs(before_write) do step() end
  for name, item in pairs(value) do
    if type(item) == 'function' then value[name] = item() end
  end
  for key, members in pairs(index) do write_index(key, members) end
  for _, step in ipairs(after_write) do step() end
  write_events()
  return cmsgpack.pack(value)
end
