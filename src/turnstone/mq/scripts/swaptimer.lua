-- A timer's next revision, and the messages of the runs that are due with it, in one step.
-- KEYS 1 timers (zset), 2 the timer, 3 the list that its messages go into
-- ARGV 2 the timer's id, 3 its revision, 4 the timer, 5 its next time, `+inf` while it has none,
--      '' when it is over, 6 seconds for which it is kept then, 7... messages
-- Returns 1; 0 if the revision before this one is not the one that is there.
local there = redis.call('HGET', KEYS[2], 'revision') or '0'
if tonumber(there) ~= tonumber(ARGV[3]) - 1 then return 0 end
redis.call('HSET', KEYS[2], 'revision', ARGV[3], 'timer', ARGV[4])
if ARGV[5] == '' then
  redis.call('ZREM', KEYS[1], ARGV[2])
  redis.call('EXPIRE', KEYS[2], ARGV[6])
else
  redis.call('PERSIST', KEYS[2])
  redis.call('ZADD', KEYS[1], ARGV[5], ARGV[2])
end
for i = 7, #ARGV do redis.call('RPUSH', KEYS[3], ARGV[i]) end
return 1
