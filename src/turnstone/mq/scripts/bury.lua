-- To the dead letters, if it is still in this list and nobody else has it.
-- KEYS 1 processing list, 2 the message's record
-- ARGV 2 node, 3 entry, 4 cid, 5 ws, 6 reason, 7 seconds of the record, 8 dead letters,
--      9 bytes of a dead letter, 10 '1' for a message that cannot be read
-- Also touches P:x:dead; publishes the ending.
-- Returns 1 if it was buried.
if redis.call('LREM', KEYS[1], 1, ARGV[3]) == 0 then return 0 end
local cid, ws, raw, reason = ARGV[4], ARGV[5], read(ARGV[3]).raw, ARGV[6]
local limits = {ttl = ARGV[7], letters = ARGV[8], raw = ARGV[9]}
if cid ~= '' and not record_misused(cid) then
  local r = redis.call('HMGET', KEYS[2], 's', 'n')
  local ended = r[1] == 'done' or r[1] == 'dead'
  local other = r[1] == 'claimed' and r[2] ~= ARGV[2]
  if other or ended or r[1] == 'accepted' then
    if ARGV[10] ~= '1' then return 0 end
    -- No copy, for it says nothing: what came under this id before it keeps its own ending.
    local names = {ws_id = ws, correlation_id = cid, timestamp = now()}
    names.type, names.message = 'error', reason
    local told = {cjson.encode(names)}
    names.type, names.message = 'turn_complete', nil
    if ended then told[2] = cjson.encode(names) end
    letter(cid, ws, raw, reason, 0, ARGV[2], limits)
    tell(ws, cjson.encode(told))
    return 1
  end
end
bury(cid, ws, raw, reason, ARGV[2], limits)
return 1
