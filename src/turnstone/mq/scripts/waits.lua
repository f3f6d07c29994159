-- Answers what has waited aside for labels that no living node has, beyond the grace. Needs
-- labels.lua.
-- KEYS 1 stage
-- ARGV 2 incarnation, 3 node, 4 messages at most, 5 grace, 6 seconds of the record,
--      7 dead letters, 8 bytes of a dead letter
-- Also touches P:x:labels, P:x:waits, P:x:wait:*, P:x:behind; writes P:x:cid:*, P:x:dead;
-- publishes endings. Does nothing for a process whose own lease is over.
-- Returns how many were answered or returned; correlation ids and reasons of what was buried.
if not lease(ARGV[2]) then return {0, {}} end
local t, most, moved = now(), tonumber(ARGV[4]), 0
local limits = {ttl = ARGV[6], letters = ARGV[7], raw = ARGV[8]}

local alive, present = leasing(t), {}
local all = redis.call('HGETALL', P .. ':x:labels')
for i = 1, #all, 2 do
  if alive[all[i]] then
    present[#present + 1] = labelled(all[i + 1])
  elseif redis.call('EXISTS', P .. ':node:' .. all[i]) == 0 then
    redis.call('HDEL', P .. ':x:labels', all[i])
  end
end

local function met(requirement)
  for _, has in ipairs(present) do
    if meets(has, requirement) then return true end
  end
  return false
end

-- What becomes of one entry: back to staging, where it is looked at anew, or to its end.
local function settle(entry, requirement)
  entry = named(entry, read(entry))
  local found = read(entry)
  local owned = found.ws ~= '' and redis.call('EXISTS', P .. ':ws:' .. found.ws) == 1
  local r = found.cid == '' and {}
    or redis.call('HMGET', P .. ':x:cid:' .. found.cid, 's', 'ws', 'f', 'i')
  if r[1] == 'done' or r[1] == 'dead' then
    tell(r[2], r[3])
  elseif found.requires ~= requirement or owned or (r[1] == 'claimed' and lease(r[4])) then
    redis.call('RPUSH', KEYS[1], entry)
  elseif r[1] ~= 'accepted' then
    bury(found.cid, found.ws, found.raw, 'No node that runs has the labels that this message '
      .. 'requires: ' .. requirement .. '.', ARGV[3], limits)
  end
  return found
end

for _, requirement in ipairs(redis.call('ZRANGE', P .. ':x:waits', 0, -1)) do
  local list = P .. ':x:wait:' .. requirement
  local since = tonumber(redis.call('ZSCORE', P .. ':x:waits', requirement))
  if met(requirement) then
    redis.call('ZADD', P .. ':x:waits', string.format('%.6f', t), requirement)
  elseif since + tonumber(ARGV[5]) <= t then
    while moved < most do
      local entry = redis.call('LINDEX', list, 0)
      if not entry then break end
      drop_aside(requirement, settle(entry, requirement))
      moved = moved + 1
    end
  end
end
return {moved, buried}
