-- Says that a node owns a workstream, unless the cluster knows a higher epoch.
-- KEYS 1 owner of the workstream, 2 its epoch, 3 the highest that was forgotten
-- ARGV 2 node, 3 epoch
-- Returns the epoch that holds now.
local known = tonumber(redis.call('GET', KEYS[2]) or redis.call('GET', KEYS[3]) or 0) or 0
if known > tonumber(ARGV[3]) then return known end
redis.call('SET', KEYS[2], ARGV[3])
redis.call('SET', KEYS[1], ARGV[2])
return tonumber(ARGV[3])
