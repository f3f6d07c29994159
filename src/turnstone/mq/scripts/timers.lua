-- Timers, by their next time; on Redis' own clock.
-- KEYS 1 timers (zset)
-- ARGV 2 how many, at most, 3 `due`: only those whose time has come, 4 how many are passed over
-- Reads P:x:timer:<timer>; one that is something else stops no other.
-- Returns the time now, the first due time after it ('' if there is none), how many were looked
-- at, and the timers.
local P = ARGV[1]
local t = redis.call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1000000
local upto = ARGV[3] == 'due' and string.format('%.6f', now) or '+inf'
local names = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', upto, 'LIMIT', ARGV[4], ARGV[2])
local following = redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.6f', now), '(+inf',
  'WITHSCORES', 'LIMIT', 0, 1)
local found = {string.format('%.6f', now), following[2] or '', #names}
for _, name in ipairs(names) do
  local key = P .. ':x:timer:' .. name
  local timer = redis.call('TYPE', key).ok == 'hash' and redis.call('HGET', key, 'timer')
  if timer then found[#found + 1] = timer end
end
return found
