-- Returns shared work that a node has no room for, as if it had never been taken: to the head of
-- the list that it came from, or right behind what was before it and has returned too.
-- KEYS 1 processing list, 2 the message's record, 3 shared list, 4 stage
-- ARGV 2 node, 3 entry, 4 epoch, 5 the entry that was before it, or nothing, 6 how far from the
--      head that is looked for
-- Returns 1, or 0 if it is not this node's under this epoch.
local entry, r = ARGV[3], redis.call('HMGET', KEYS[2], 's', 'n', 'e')
local mine = r[1] == 'claimed' and r[2] == ARGV[2] and r[3] == ARGV[4]
if not mine or not redis.call('LPOS', KEYS[1], entry) then return 0 end
redis.call('HSET', KEYS[2], 's', 'queued', 'n', '', 'fx', '0')
redis.call('HINCRBY', KEYS[2], 'tries', -1)
-- An envelope is a format of ours: never into a list that others read.
local list = string.byte(entry) == 1 and KEYS[4] or KEYS[3]
if ARGV[5] ~= '' and redis.call('LPOS', list, ARGV[5], 'MAXLEN', ARGV[6]) then
  redis.call('LINSERT', list, 'AFTER', ARGV[5], entry)
else
  redis.call('LPUSH', list, entry)
end
redis.call('LREM', KEYS[1], 1, entry)
return 1
