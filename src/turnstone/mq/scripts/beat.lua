-- Renews a lease and a node's heartbeat.
-- KEYS 1 alive (zset), 2 the node's key
-- ARGV 2 incarnation, 3 seconds of the lease, 4 seconds of the node's key, 5 metadata
-- Returns 1 if the lease had not ended, 0 if it had, or is the first.
local held = lease(ARGV[2]) and 1 or 0
redis.call('ZADD', KEYS[1], string.format('%.6f', now() + tonumber(ARGV[3])), ARGV[2])
redis.call('SET', KEYS[2], ARGV[5], 'EX', ARGV[4])
return held
