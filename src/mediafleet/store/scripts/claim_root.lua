-- An instance that starts says which mark it left in its artifact root, and learns those of the others, in one step: of
-- two that start at once the second sees the first.
-- A: instance, mark (a digest), ttl_ms (of its presence, which it has before it is a member)
-- Returns {others = [{instance, mark}] that live, gone = [instances whose mark may go]}.
-- @include base events scores
local others, gone = {}, {}
local found = redis.call('HGETALL', P .. 'roots')
for i = 1, #found, 2 do
  local id = found[i]
  if id ~= A.instance then
    if redis.call('EXISTS', P .. 'instance:' .. id) == 1 then
      others[#others + 1] = {instance = id, mark = found[i + 1]}
    else
      gone[#gone + 1] = id
    end
  end
end
redis.call('SET', P .. 'instance:' .. A.instance, '1', 'PX', A.ttl_ms)
redis.call('HSET', P .. 'roots', A.instance, A.mark)
call_in_parts('HDEL', P .. 'roots', gone)
return reply({others = others, gone = gone})
