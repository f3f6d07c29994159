-- Renews a lease, a node's heartbeat, and the seats that go with it.
-- KEYS 1 alive (zset), 2 the node's key, 3... seats
-- ARGV 2 incarnation, 3 seconds of the lease, 4 seconds of the node's key, 5 metadata,
--      6 boots of processes that are dead, with spaces between them,
--      7 the node's labels, in the same way
-- Also touches P:x:seen, P:x:labels.
-- Returns 1 if the lease had not ended, 0 if it had, or is the first; the incarnation that has a
-- seat, if another lives: then nothing is renewed.
local other = rival(3, ARGV[2], ARGV[6])
if other then return other end
local held = lease(ARGV[2]) and 1 or 0
redis.call('ZADD', KEYS[1], string.format('%.6f', now() + tonumber(ARGV[3])), ARGV[2])
redis.call('SET', KEYS[2], ARGV[5], 'EX', ARGV[4])
for i = 3, #KEYS do
  redis.call('HSET', KEYS[i], 'i', ARGV[2])
  redis.call('PEXPIRE', KEYS[i], math.ceil(tonumber(ARGV[3]) * 1000))
end
local me = string.gsub(ARGV[2], '|[^|]*$', '')
seen(me)
if ARGV[7] == '' then
  redis.call('HDEL', P .. ':x:labels', me)
else
  redis.call('HSET', P .. ':x:labels', me, ARGV[7])
end
return held
