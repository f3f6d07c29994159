-- The only place that takes from staging: it routes in the order of the list. Before that it takes
-- what waits aside for labels that this node has. Needs labels.lua.
-- KEYS 1 stage, 2 processing list (shared) of this incarnation
-- ARGV 2 incarnation, 3 node, 4 free slots, 5 entries to look at, at most,
--      6 seconds of the record, 7 dead letters, 8 bytes of a dead letter,
--      9 the node's labels, with spaces between them
-- Also touches P:ws:<ws>, P:x:epoch:<ws>, P:x:seen, P:inbound:<node>, P:x:dstage:<node>, P:x:anon,
-- P:x:wait:<requirement>, P:x:waits, P:x:behind, P:x:rouse:<node>; reads P:x:labels,
-- P:node:<node>, P:x:inflight:<node>, P:x:cid:<cid>.
-- Returns the entries that are this incarnation's now; nil if its lease is over.
local me = ARGV[3]
local limits = {ttl = ARGV[6], letters = ARGV[7], raw = ARGV[8]}

local function known(node)
  return node == me or redis.call('EXISTS', P .. ':node:' .. node) == 1
    or redis.call('EXISTS', P .. ':x:inflight:' .. node) == 1
end

-- What the entry says of its way here: where any node may have it, one that is not there is not its
-- target.
local function way(entry)
  local found = read(entry)
  if found.any and found.target ~= me and redis.call('EXISTS', P .. ':node:' .. found.target) == 0 then
    found.target = ''
  end
  return found
end

-- The node whose directed list the message belongs to; nil for shared work.
local function destination(found)
  local owner = found.ws ~= '' and redis.call('GET', P .. ':ws:' .. found.ws)
  if owner then return owner end
  if found.target ~= '' then
    return known(found.target) and found.target or nil
  end
  if found.ws ~= '' then
    redis.call('SET', P .. ':ws:' .. found.ws, me)
    local epoch = P .. ':x:epoch:' .. found.ws
    if redis.call('EXISTS', epoch) == 0 then redis.call('SET', epoch, string.format('%d', floor())) end
    redis.call('INCR', epoch)
    redis.call('PERSIST', epoch)
    return me
  end
  return nil
end

-- The node that a message is bound to: it was admitted there, and may have had effects.
local function bound(found)
  if found.cid == '' then return nil end
  local record = redis.call('HMGET', P .. ':x:cid:' .. found.cid, 's', 'fx', 'n')
  if record[1] == 'claimed' and record[2] == '1' and record[3] ~= me then return record[3] end
  return nil
end

-- Why the message cannot be routed; nil if it can.
local function spoilt(found)
  local bad = record_misused(found.cid)
  if not bad and found.ws ~= '' then
    bad = misused(P .. ':ws:' .. found.ws, 'string') or misused(P .. ':x:epoch:' .. found.ws, 'count')
  end
  return bad
end

if not lease(ARGV[2]) then return false end
local has, taken, looked = labelled(ARGV[9]), {}, 0

local function more()
  return looked < tonumber(ARGV[5]) and #taken < tonumber(ARGV[4])
end

-- To the list that it belongs to. Whoever calls this takes it from where it was last, so that an
-- error on the way leaves it there.
local function route(entry, found, bad, tied)
  local node = not bad and (tied or destination(found))
  -- An envelope is a format of ours: never into a list that others read.
  local list = node and P .. (not tied and entry == found.raw and ':inbound:' or ':x:dstage:') .. node
  bad = bad or (list and misused(list, 'list'))
  if bad then
    bury(found.cid, found.ws, found.raw, bad, me, limits)
  elseif node then
    seen(node)
    redis.call('RPUSH', list, entry)
  else
    entry = named(entry, found)
    redis.call('RPUSH', KEYS[2], entry)
    taken[#taken + 1] = entry
  end
end

for _, requirement in ipairs(redis.call('ZRANGE', P .. ':x:waits', 0, -1)) do
  while meets(has, requirement) and more() do
    local entry = redis.call('LINDEX', P .. ':x:wait:' .. requirement, 0)
    if not entry then break end
    local found = way(entry)
    local bad = spoilt(found)
    route(entry, found, bad, not bad and bound(found))
    drop_aside(requirement, found)
    looked = looked + 1
  end
end
while more() do
  local entry = redis.call('LINDEX', KEYS[1], 0)
  if not entry then break end
  local found = way(entry)
  local bad = spoilt(found)
  local tied = not bad and bound(found)
  local requirement = not bad and not tied and awaited(found, has)
  if requirement then
    put_aside(requirement, entry, found)
  else
    route(entry, found, bad, tied)
  end
  redis.call('LPOP', KEYS[1])
  looked = looked + 1
end
return taken
