-- Whether this process is the one that sees to what others have left, for a while. Every beat of
-- every node asks, so that many nodes cost Redis no more of that than one.
-- KEYS 1 turns (hash)
-- ARGV 2 incarnation, 3 seconds for which nobody else does, 4... what is seen to
-- Returns what of it is seen to by this process; nothing for one whose own lease is over.
local mine, t = {}, now()
if not lease(ARGV[2]) then return mine end
for i = 4, #ARGV do
  local since = t - tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or 0)
  -- A clock that was put back must not make everybody wait until it is there again.
  if since < 0 or since >= tonumber(ARGV[3]) then
    redis.call('HSET', KEYS[1], ARGV[i], string.format('%.6f', t))
    mine[#mine + 1] = ARGV[i]
  end
end
return mine
