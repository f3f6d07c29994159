-- Ends the lease of an incarnation now, so that what it holds is returned at once.
-- KEYS 1 alive (zset)
-- ARGV 2 incarnation
-- Returns 1 if it had one.
if not lease(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], 'XX', string.format('%.6f', now()), ARGV[2])
return 1
