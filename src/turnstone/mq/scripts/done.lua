-- A message has ended: its result, and its ending for all who ask again.
-- KEYS 1 the message's record, 2 in flight
-- ARGV 2 node, 3 cid, 4 epoch, 5 ws, 6 result, 7 ending (JSON list), 8 seconds of the record
-- Publishes the ending. Returns 1, or 0 if it is not this node's under this epoch.
local r = redis.call('HMGET', KEYS[1], 's', 'n', 'e')
local s, mine = r[1], r[2] == ARGV[2] and r[3] == ARGV[4]
if s and not (mine and (s == 'claimed' or s == 'accepted' or s == 'done')) then return 0 end
if s ~= 'done' then
  redis.call('HSET', KEYS[1], 's', 'done', 'n', ARGV[2], 'e', ARGV[4], 'ws', ARGV[5],
    'r', ARGV[6], 'f', ARGV[7])
  redis.call('EXPIRE', KEYS[1], ARGV[8])
  tell(ARGV[5], ARGV[7])
end
redis.call('HDEL', KEYS[2], ARGV[3])
return 1
