-- What a node has accepted and not finished.
-- KEYS 1 in flight
-- Reads P:x:cid:<cid>. Returns cid, what is kept in flight, epoch, of one after the other; not of
-- what has a record that is not ours, which would stop the start of the node.
local found = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if not record_misused(all[i]) then
    found[#found + 1] = all[i]
    found[#found + 1] = all[i + 1]
    found[#found + 1] = tonumber(redis.call('HGET', P .. ':x:cid:' .. all[i], 'e') or 0)
  end
end
return found
