-- The leader takes over a piece of what an instance that is gone has left in its inbox, read or not: each message goes to
-- the instance that has its node's link by now, the caller itself included, in the same step that takes it out. When
-- nothing is left, the inbox and the instance's entry go. Call again until `done`.
-- A: lead = {instance, epoch}, dead = the instance, piece, max_hops, inbox_length
-- Returns {accepted = the caller leads and the other is gone, moved, undelivered, done}.
-- @include base events scores leads messages
-- @include relief
local key = P .. 'inbox:' .. A.dead

local function read(entry)
  local fields, hops = {}, 0
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'hops' then
      hops = tonumber(entry[2][i + 1])
    else
      add_pair(fields, entry[2][i], entry[2][i + 1])
    end
  end
  return fields, hops + 1
end

if not leads(A.lead) or lives(A.dead) then
  return cmsgpack.pack({accepted = false, moved = 0, undelivered = 0, done = true})
end
local moved, taken = 0, {}
for _, entry in ipairs(redis.call('XRANGE', key, '-', '+', 'COUNT', A.piece)) do
  local fields, hops = read(entry)
  local owner = find_owner(fields, hops)
  if owner then
    moved = moved + 1
    post(owner, fields, hops)
  end
  taken[#taken + 1] = entry[1]
end
call_in_parts('XDEL', key, taken)
local done = #taken < A.piece
if done then
  redis.call('DEL', key)
  redis.call('HDEL', P .. 'instances', A.dead)
end
return reply({accepted = true, moved = moved, undelivered = undelivered, done = done})
