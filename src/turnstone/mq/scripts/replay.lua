-- Sends the text of a dead letter again, and takes the letter out. Stands alone: a full Redis may
-- refuse it.
-- KEYS 1 dead letters, 2 shared list
-- ARGV 1 prefix, 2 id of the letter, 3 the new message
-- Returns 1, or 0 if there is no such letter.
if #redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2]) == 0 then return 0 end
redis.call('RPUSH', KEYS[2], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[2])
return 1
