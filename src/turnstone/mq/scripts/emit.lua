-- Appends an event to a workstream's stream, and publishes its 0.2 spellings. Stands alone: a
-- full Redis may refuse it.
-- KEYS 1 stream, 2 the workstream's epoch
-- ARGV 1 prefix, 2 channel, 3 id, 4 envelope, 5 epoch or 0, 6 entries of the stream,
--      7 seconds of the stream, 8... messages to publish
-- Returns the subscribers that heard it; 0 if it was there already; -1 if the epoch is over.
local epoch = tonumber(ARGV[5])
if epoch > 0 and (tonumber(redis.call('GET', KEYS[2]) or 0) or 0) > epoch then return -1 end
local added = redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ARGV[6], ARGV[3], 'envelope', ARGV[4])
if type(added) == 'table' and added.err then
  return string.find(added.err, 'equal or smaller', 1, true) and 0 or added
end
redis.call('EXPIRE', KEYS[1], ARGV[7])
local heard = 0
for i = 8, #ARGV do
  heard = redis.call('PUBLISH', ARGV[2], ARGV[i])
end
return heard
