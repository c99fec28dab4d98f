-- For scripts that carry on with what was accepted: a server at `maxmemory` lets a script go on whose first write frees
-- something. Those that take in more (submit, retry, uploads of clients) are without it, and are refused then.
redis.call('ZREM', P .. 'due', '')
