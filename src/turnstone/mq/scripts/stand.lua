-- Whether a message of the journal is still this node's.
-- KEYS 1 the message's record, 2 in flight
-- ARGV 2 node, 3 cid, 4 epoch, 5 what is kept in flight, 6 ws, 7 seconds of the record
-- Returns ok, retry, other, done, dead.
local r = redis.call('HMGET', KEYS[1], 's', 'n', 'e')
local s = r[1]
if s == 'done' or s == 'dead' then
  redis.call('HDEL', KEYS[2], ARGV[3])
  return s
end
if s and (s == 'queued' or r[2] ~= ARGV[2]) then
  -- The note of it would stay for as long as this node lives.
  redis.call('HDEL', KEYS[2], ARGV[3])
  return 'other'
end
if s and r[3] ~= ARGV[4] then return 'retry' end
if not s then
  -- Redis lost the record, and with it whether effects had begun: so it stays on this node.
  redis.call('HSET', KEYS[1], 'n', ARGV[2], 'e', ARGV[4], 'fx', '1', 'ws', ARGV[6])
end
redis.call('HSET', KEYS[1], 's', 'accepted')
redis.call('HSETNX', KEYS[1], 'fx', '0')
redis.call('EXPIRE', KEYS[1], ARGV[7])
redis.call('HSETNX', KEYS[2], ARGV[3], ARGV[5])
return 'ok'
