-- Takes one message of this node: what returned before what is new. Only a process whose lease
-- runs may, so nothing gets into a processing list that no reaping knows of.
-- KEYS 1 the node's directed staging, 2 its list, 3 processing list (directed)
-- ARGV 2 incarnation
-- Returns 1 if there was one; nil if the lease is over.
if not lease(ARGV[2]) then return false end
for i = 1, 2 do
  if redis.call('LMOVE', KEYS[i], KEYS[3], 'LEFT', 'RIGHT') then return 1 end
end
return 0
