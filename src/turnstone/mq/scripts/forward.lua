-- Hands an entry on: from a processing list to the directed list of another node.
-- KEYS 1 processing list, 2 the node's directed list, 3 the node's directed staging
-- ARGV 2 entry, 3 the node
-- Also touches P:x:seen.
-- Returns 1, or 0 if the entry was not here.
if not redis.call('LPOS', KEYS[1], ARGV[2]) then return 0 end
-- An envelope is a format of ours: never into a list that others read.
local list = string.byte(ARGV[2]) == 1 and KEYS[3] or KEYS[2]
seen(ARGV[3])
redis.call('RPUSH', list, ARGV[2])
redis.call('LREM', KEYS[1], 1, ARGV[2])
return 1
