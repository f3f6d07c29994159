-- Returns what waits in staging to the head of the shared list, where it wakes an idle node.
-- KEYS 1 stage, 2 shared list
-- ARGV 2 entries, at most
-- Reads P:x:cid:<cid>. Returns how many.
local moved = 0
while moved < tonumber(ARGV[2]) do
  local entry = redis.call('LINDEX', KEYS[1], -1)
  -- An envelope is a format of ours: never into a list that others read.
  if not entry or string.byte(entry) == 1 then break end
  local found = read(entry)
  -- What is bound to one node must not meet a bridge of another make.
  if record_misused(found.cid) then break end
  if found.cid ~= '' and redis.call('HGET', P .. ':x:cid:' .. found.cid, 'fx') == '1' then break end
  redis.call('LMOVE', KEYS[1], KEYS[2], 'RIGHT', 'LEFT')
  moved = moved + 1
end
return moved
