-- Ends a message that no node has taken yet, before any does: it is not run when it comes.
-- KEYS 1 the message's record
-- ARGV 2 node, 3 ws, 4 result, 5 ending (JSON list), 6 seconds of the record
-- Publishes the ending. Returns 1, or 0 if a node has it, or it has ended.
if misused(KEYS[1], 'hash') then return 0 end
local r = redis.call('HMGET', KEYS[1], 's', 'n', 'r')
local s = r[1]
if s == 'done' and r[2] == ARGV[2] and r[3] == ARGV[4] then return 1 end -- asked again
if s and s ~= 'queued' then return 0 end
redis.call('HSET', KEYS[1], 's', 'done', 'n', ARGV[2], 'e', 0, 'ws', ARGV[3],
  'r', ARGV[4], 'f', ARGV[5])
redis.call('EXPIRE', KEYS[1], ARGV[6])
tell(ARGV[3], ARGV[5])
return 1
