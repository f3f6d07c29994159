-- Renews a lease, a node's heartbeat, and the seats that go with it.
-- KEYS 1 alive (zset), 2 the node's key, 3... seats
-- ARGV 2 incarnation, 3 seconds of the lease, 4 seconds of the node's key, 5 metadata,
--      6 boots of processes that are dead, with spaces between them,
--      7 the node's labels, in the same way; 8 life and 9 count of beats, as this process heard them
--      last (empty: this is its first)
-- Also touches P:x:seen, P:x:labels, P:x:beats, P:x:gone, P:x:strays, P:x:waits.
-- Returns 1 if the lease had not ended and nothing was lost, otherwise 0; life and count of beats.
-- The incarnation that has a seat, if another lives, and which: then nothing is renewed.
local other, _, which = rival(3, ARGV[2], ARGV[6])
if other then return {other, which} end
local held, t = lease(ARGV[2]) and 1 or 0, now()
local beats, fresh = P .. ':x:beats', string.format('%.6f', t + tonumber(ARGV[3]))
local b = redis.call('HMGET', beats, 'life', 'count', 'last', 'hold')
local life, hold, last = b[1], b[4], tonumber(b[3] or 0)

-- A Redis that came back empty has another life, and one that came back older fewer beats.
local lost = ARGV[8] ~= '' and (life ~= ARGV[8] or tonumber(b[2] or 0) < tonumber(ARGV[9]))
if not life or (lost and life == ARGV[8]) then
  life, hold = string.format('%.6f', t) .. '|' .. ARGV[2], false
  redis.call('HSET', beats, 'life', life)
  redis.call('HDEL', beats, 'hold')
end
if lost then
  held = 0
  if not hold then redis.call('HSET', beats, 'hold', fresh) end
end

-- While nobody could beat, nobody was silent: all that is reckoned from silence begins anew. Two
-- beats of three that are missing suffice: their leases end while they find Redis again.
if t - last > tonumber(ARGV[3]) * 2 / 3 and redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HSET', beats, 'from', fresh)
  redis.call('DEL', P .. ':x:gone', P .. ':x:strays')
  for _, requirement in ipairs(redis.call('ZRANGE', P .. ':x:waits', 0, -1)) do
    redis.call('ZADD', P .. ':x:waits', fresh, requirement)
  end
end
redis.call('HSET', beats, 'last', string.format('%.6f', t))
local count = redis.call('HINCRBY', beats, 'count', 1)
redis.call('ZADD', KEYS[1], string.format('%.6f', now() + tonumber(ARGV[3])), ARGV[2])
redis.call('SET', KEYS[2], ARGV[5], 'EX', ARGV[4])
for i = 3, #KEYS do
  redis.call('HSET', KEYS[i], 'i', ARGV[2])
  redis.call('PEXPIRE', KEYS[i], math.ceil(tonumber(ARGV[3]) * 1000))
end
local me = string.gsub(ARGV[2], '|[^|]*$', '')
seen(me)
if ARGV[7] == '' then
  redis.call('HDEL', P .. ':x:labels', me)
else
  redis.call('HSET', P .. ':x:labels', me, ARGV[7])
end
return {held, life, count}
