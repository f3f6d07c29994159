-- What nodes without a living process have left that belongs to a workstream, or was accepted.
-- KEYS 1 alive (zset), 2 P:x:seen
-- ARGV 2 incarnation, 3 node, 4 seconds of a lease, 5 seconds of the node's key,
--      6 seconds beyond its lease after which a node is gone for sure, 7 entries of a list at most
-- Reads P:x:beats; of each such node: its key, P:x:inflight:<node>, P:inbound:<node>, P:x:dstage:<node>,
-- P:x:cid:<cid>; and P:ws:<ws>.
-- Returns seconds until the next look is due (-1: with the next beat); then, for each node: name,
-- store, 1 if it is gone for sure, correlation ids and workstreams of what it has accepted in
-- turn, workstreams with messages that wait. Nothing for a process whose own lease is over.
local nodes, next_due = {}, -1
if not lease(ARGV[2]) then return {'-1', nodes} end
local me, t, longest = ARGV[3], now(), tonumber(ARGV[4])
local sure_after, most = tonumber(ARGV[6]), tonumber(ARGV[7])
local since = tonumber(redis.call('HGET', P .. ':x:beats', 'from') or 0)

local function due(seconds)
  if next_due < 0 or seconds < next_due then next_due = seconds end
end

local living = {[me] = true}
local members = redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.6f', t), '+inf', 'WITHSCORES')
for i = 1, #members, 2 do
  local node = string.match(members[i], '^(.*)|[^|]*$') or members[i]
  if node ~= me then due(tonumber(members[i + 1]) - t) end
  living[node] = true
end

-- The node's store, and seconds since its lease ended; nil for a node that is not one of ours.
local function last(node)
  local text, left = redis.call('GET', P .. ':node:' .. node), nil
  if not text then return '', math.huge end
  local ok, said = pcall(cjson.decode, text)
  if not ok or type(said) ~= 'table' or type(said.boot) ~= 'string' then return nil end
  left = redis.call('PTTL', P .. ':node:' .. node) / 1000
  local store = type(said.store) == 'string' and said.store or ''
  return store, tonumber(ARGV[5]) - left - longest
end

local function owned(ws, node)
  return not misused(P .. ':ws:' .. ws, 'string') and redis.call('GET', P .. ':ws:' .. ws) == node
end

local function left_by(node)
  local accepted, waiting, known = {}, {}, {}
  local all = redis.call('HGETALL', P .. ':x:inflight:' .. node)
  for i = 1, math.min(#all, 2 * most), 2 do
    local found = read(string.sub(all[i + 1], 2))
    accepted[#accepted + 1], accepted[#accepted + 2] = all[i], found.ws
  end
  for _, list in ipairs({':x:dstage:', ':inbound:'}) do
    local name = P .. list .. node
    local entries = not misused(name, 'list') and redis.call('LRANGE', name, 0, most - 1) or {}
    for _, entry in ipairs(entries) do
      local ws = read(entry).ws
      if ws ~= '' and not known[ws] and owned(ws, node) then
        known[ws], waiting[#waiting + 1] = true, ws
      end
    end
  end
  return accepted, waiting
end

for _, node in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  local some = not living[node] and redis.call('EXISTS', P .. ':x:inflight:' .. node,
    P .. ':inbound:' .. node, P .. ':x:dstage:' .. node) > 0
  local store, over = nil, nil
  if some then store, over = last(node) end
  -- After a gap in all beats, whoever was silent has one lease to be heard again.
  if store then over = math.min(over, t - since) end
  if store and over < 0 and t < since then
    due(since - t)
  elseif store then
    local accepted, waiting = left_by(node)
    if #accepted + #waiting > 0 then
      local sure = over >= sure_after
      if not sure then due(sure_after - over) end
      nodes[#nodes + 1] = {node, store, sure and 1 or 0, accepted, waiting}
    end
  end
end
return {string.format('%.6f', next_due), nodes}
