-- Moves the head of one list to the tail of another, on a full Redis too.
-- KEYS 1 from, 2 to
-- Returns 1 if there was one.
return redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT') and 1 or 0
