-- The message is in the journal: from the processing list to the node's messages in flight.
-- KEYS 1 processing list, 2 the message's record, 3 in flight
-- ARGV 2 node, 3 entry, 4 cid, 5 epoch, 6 what is kept in flight, 7 seconds of the record
-- Returns 1, or 0 if it is not this node's under this epoch.
local r = redis.call('HMGET', KEYS[2], 's', 'n', 'e')
local mine = r[2] == ARGV[2] and r[3] == ARGV[5]
if r[1] and not (mine and (r[1] == 'claimed' or r[1] == 'accepted')) then return 0 end
-- No record at all: Redis lost it. The journal has the message, so it is made again.
redis.call('HSET', KEYS[2], 's', 'accepted', 'n', ARGV[2], 'e', ARGV[5])
redis.call('HSETNX', KEYS[2], 'fx', r[1] and '0' or '1')
redis.call('EXPIRE', KEYS[2], ARGV[7])
redis.call('HSET', KEYS[3], ARGV[4], ARGV[6])
redis.call('LREM', KEYS[1], 1, ARGV[3])
return 1
