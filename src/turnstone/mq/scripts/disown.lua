-- Says that a node does not own a workstream any more. The epoch is kept for a while.
-- KEYS 1 owner of the workstream, 2 its epoch
-- ARGV 2 node, 3 seconds of the epoch
-- Returns 1 if it was this node's.
if redis.call('GET', KEYS[1]) ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('EXPIRE', KEYS[2], ARGV[3])
return 1
