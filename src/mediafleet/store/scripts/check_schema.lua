-- Marks a cell with the shapes that an instance is going to write, unless it could not read what is there, or others
-- that live could not read what it writes. Marks only rise.
-- A: schema, oldest_reader, reads_from
-- Returns {verdict = 'adopted' | 'newer' | 'older' | 'in-use', version (before), oldest_reader (before),
--   instance = one that lives and could not read on}.
-- @include base events scores
local found = redis.call('HMGET', P .. 'schema', 'version', 'oldest_reader')
local version, oldest = tonumber(found[1] or '0'), tonumber(found[2] or '0')

local function older_instance()
  local documents = redis.call('HGETALL', P .. 'instances')
  for i = 1, #documents, 2 do
    local schema = cjson.decode(documents[i + 1]).schema or 1
    if schema < A.oldest_reader and redis.call('EXISTS', P .. 'instance:' .. documents[i]) == 1 then return documents[i] end
  end
end

local verdict, instance = 'adopted', ''
if oldest > A.schema then
  verdict = 'newer'
elseif version > 0 and version < A.reads_from then
  verdict = 'older'
elseif oldest < A.oldest_reader then
  instance = older_instance() or ''
  if instance ~= '' then verdict = 'in-use' end
end
if verdict == 'adopted' then
  redis.call('HSET', P .. 'schema', 'version', math.max(version, A.schema),
    'oldest_reader', math.max(oldest, A.oldest_reader))
end
return reply({verdict = verdict, version = version, oldest_reader = oldest, instance = instance})
