-- Passed before the first side effect of a turn: for one node only, ever.
-- KEYS 1 the message's record
-- ARGV 2 incarnation, 3 node, 4 epoch, 5 seconds of the record
-- Returns 1 for the node that may; nil if the lease is over.
if not lease(ARGV[2]) then return false end
local r = redis.call('HMGET', KEYS[1], 's', 'n', 'e')
if r[1] ~= 'accepted' or r[2] ~= ARGV[3] or r[3] ~= ARGV[4] then return 0 end
redis.call('HSET', KEYS[1], 'fx', '1')
redis.call('EXPIRE', KEYS[1], ARGV[5])
return 1
