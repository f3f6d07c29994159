-- To the dead letters, if it is still in this list and nobody else has it.
-- KEYS 1 processing list, 2 the message's record
-- ARGV 2 node, 3 entry, 4 cid, 5 ws, 6 reason, 7 seconds of the record, 8 dead letters,
--      9 bytes of a dead letter
-- Also touches P:x:dead; publishes the ending.
-- Returns 1 if it was buried.
if redis.call('LREM', KEYS[1], 1, ARGV[3]) == 0 then return 0 end
if ARGV[4] ~= '' then
  local r = redis.call('HMGET', KEYS[2], 's', 'n')
  local other = r[1] == 'claimed' and r[2] ~= ARGV[2]
  if other or r[1] == 'accepted' or r[1] == 'done' or r[1] == 'dead' then return 0 end
end
bury(ARGV[4], ARGV[5], read(ARGV[3]).raw, ARGV[6], ARGV[2],
  {ttl = ARGV[7], letters = ARGV[8], raw = ARGV[9]})
return 1
