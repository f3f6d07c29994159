-- The message is in the journal: from the processing list to the node's messages in flight.
-- KEYS 1 processing list, 2 the message's record, 3 in flight
-- ARGV 2 incarnation, 3 node, 4 entry, 5 cid, 6 epoch, 7 what is kept in flight,
--      8 seconds of the record
-- Returns 1, or 0 if it is not this node's under this epoch; nil if the lease is over.
if not lease(ARGV[2]) then return false end
local r = redis.call('HMGET', KEYS[2], 's', 'n', 'e')
local mine = r[2] == ARGV[3] and r[3] == ARGV[6]
if r[1] and not (mine and (r[1] == 'claimed' or r[1] == 'accepted')) then return 0 end
-- No record at all: Redis lost it. The journal has the message, so it is made again.
redis.call('HSET', KEYS[2], 's', 'accepted', 'n', ARGV[3], 'e', ARGV[6])
redis.call('HSETNX', KEYS[2], 'fx', r[1] and '0' or '1')
redis.call('EXPIRE', KEYS[2], ARGV[8])
redis.call('HSET', KEYS[3], ARGV[5], ARGV[7])
redis.call('LREM', KEYS[1], 1, ARGV[4])
return 1
