-- Answers what waits in the lists of nodes that were there, and have been gone for a while; what
-- its sender leaves to any node goes to the others.
-- KEYS 1 stage
-- ARGV 2 incarnation, 3 messages at most, 4 seconds until a node is given up, 5 seconds of the
--      record, 6 dead letters, 7 bytes of a dead letter
-- Reads P:x:alive, P:x:seen, P:node:<node>; takes from P:x:dstage:* and P:inbound:* of what is
-- gone; writes P:x:gone, P:x:cid:*, P:x:dead, P:x:anon; publishes endings. Does nothing for a
-- process whose own lease is over.
-- Returns how many were answered or given away; correlation ids and reasons of what was buried.
if not lease(ARGV[2]) then return {0, {}} end
local most, lost_after, t, moved = tonumber(ARGV[3]), tonumber(ARGV[4]), now(), 0
local limits = {ttl = ARGV[5], letters = ARGV[6], raw = ARGV[7]}

local living, gone = leasing(t), {}
for _, node in ipairs(redis.call('ZRANGE', P .. ':x:gone', 0, -1)) do gone[node] = true end

local function lists(node)
  local found = {}
  for _, beginning in ipairs({':x:dstage:', ':inbound:'}) do
    local list = P .. beginning .. node
    if redis.call('TYPE', list).ok == 'list' then found[#found + 1] = list end
  end
  return found
end

-- What becomes of one. A copy of what somebody has accepted, or is accepting, is dropped: its ending
-- is told there.
local function settle(entry, node)
  entry = named(entry, read(entry))
  local found = read(entry)
  local known = found.cid ~= '' and not record_misused(found.cid)
  local r = known and redis.call('HMGET', P .. ':x:cid:' .. found.cid, 's', 'ws', 'f', 'n', 'fx') or {}
  local begun = r[1] == 'claimed' and r[4] == node and r[5] == '1'
  if r[1] == 'done' or r[1] == 'dead' then
    tell(r[2], r[3])
  elseif r[1] == 'accepted' or (r[1] == 'claimed' and r[4] ~= node) then
    return
  elseif found.any and not begun then
    redis.call('RPUSH', KEYS[1], entry)
  else
    local reason = 'The node ' .. node .. ' was lost before it took this message.'
    if begun then
      reason = 'The node ' .. node .. ' was lost while it worked on this message: the outcome is '
        .. 'unknown, so check what was done before you send it again.'
    end
    bury(found.cid, found.ws, found.raw, reason, node, limits)
  end
end

local function answer(node, list)
  while moved < most do
    local entry = redis.call('LINDEX', list, 0)
    if not entry then return end
    settle(entry, node)
    redis.call('LPOP', list)
    moved = moved + 1
  end
end

-- Every beat of every node comes by here: of a node that lives, nothing is asked.
for _, node in ipairs(redis.call('ZRANGE', P .. ':x:seen', 0, -1)) do
  local there = living[node] or redis.call('EXISTS', P .. ':node:' .. node) == 1
  local waiting = there and {} or lists(node)
  if #waiting == 0 then
    if gone[node] then redis.call('ZREM', P .. ':x:gone', node) end
  else
    redis.call('ZADD', P .. ':x:gone', 'NX', string.format('%.6f', t), node)
    if tonumber(redis.call('ZSCORE', P .. ':x:gone', node)) + lost_after <= t then
      for _, list in ipairs(waiting) do answer(node, list) end
    end
  end
end
return {moved, buried}
