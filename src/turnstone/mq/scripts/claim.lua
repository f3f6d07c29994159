-- The only place that takes from staging: it routes in the order of the list.
-- KEYS 1 stage, 2 processing list (shared) of this incarnation
-- ARGV 2 incarnation, 3 node, 4 free slots, 5 entries to look at, at most
-- Also touches P:ws:<ws>, P:x:epoch:<ws>, P:x:seen, P:inbound:<node>, P:x:dstage:<node>, P:x:anon; reads
-- P:node:<node>, P:x:inflight:<node>, P:x:cid:<cid>.
-- Returns the entries that are this incarnation's now; nil if its lease is over.
local me = ARGV[3]

local function known(node)
  return node == me or redis.call('EXISTS', P .. ':node:' .. node) == 1
    or redis.call('EXISTS', P .. ':x:inflight:' .. node) == 1
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
    redis.call('INCR', P .. ':x:epoch:' .. found.ws)
    redis.call('PERSIST', P .. ':x:epoch:' .. found.ws)
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

if not lease(ARGV[2]) then return false end
local taken = {}
for _ = 1, tonumber(ARGV[5]) do
  if #taken >= tonumber(ARGV[4]) then break end
  local entry = redis.call('LINDEX', KEYS[1], 0)
  if not entry then break end
  local found = read(entry)
  local tied = bound(found)
  local node = not tied and destination(found)
  if tied then
    seen(tied)
    redis.call('RPUSH', P .. ':x:dstage:' .. tied, entry)
  elseif node then
    seen(node)
    -- An envelope is a format of ours: never into a list that others read.
    local list = entry == found.raw and ':inbound:' or ':x:dstage:'
    redis.call('RPUSH', P .. list .. node, entry)
  else
    entry = named(entry, found)
    redis.call('RPUSH', KEYS[2], entry)
    taken[#taken + 1] = entry
  end
  -- Last, so that an error on the way leaves the entry where it was.
  redis.call('LPOP', KEYS[1])
end
return taken
