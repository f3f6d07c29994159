-- Keeps an answer for the process that asked. Stands alone: a full Redis may refuse it.
-- KEYS 1 answers to the question
-- ARGV 1 prefix, 2 answer, 3 seconds that it is kept
redis.call('RPUSH', KEYS[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
