-- Makes this node the owner of a workstream whose owner has no living process: the messages that
-- wait for it come along, in their order, and those that were accepted are this node's from now on.
-- The store has this node as the owner already, under this epoch.
-- KEYS 1 owner of the workstream, 2 its epoch, 3 alive (zset)
-- ARGV 2 incarnation, 3 node, 4 former owner, 5 epoch, 6 ws, 7 seconds of a record,
--      8... correlation ids of messages that have made the workstream
-- Also touches, of both nodes, P:x:inflight:<node>, P:x:dstage:<node>; P:inbound:<former>,
-- P:x:pd:<former>|<boot>; writes P:x:cid:<cid>.
-- Returns what came of it (taken, lives, other, stale), the epoch that holds, and
-- correlation id, what is kept in flight and epoch of each message that this node has to end. Asked
-- again, it says the same. nil if the lease is over.
if not lease(ARGV[2]) then return false end
local me, former, epoch, ws = ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local t, known = now(), tonumber(redis.call('GET', KEYS[2]) or floor()) or 0
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= former and owner ~= me then return {'other', known} end
if known > epoch or (known == epoch and owner ~= me) then return {'stale', known} end
local members, ended = redis.call('ZRANGE', KEYS[3], 0, -1, 'WITHSCORES'), {}
for i = 1, #members, 2 do
  if string.match(members[i], '^(.*)|[^|]*$') == former then
    if tonumber(members[i + 1]) > t then return {'lives', known} end
    ended[#ended + 1] = members[i]
  end
end

-- What it had in hand is before all that waits.
for _, member in ipairs(ended) do
  local to = P .. ':x:dstage:' .. former
  repeat until not redis.call('LMOVE', P .. ':x:pd:' .. member, to, 'RIGHT', 'LEFT')
end

redis.call('SET', KEYS[2], epoch)
redis.call('SET', KEYS[1], me)
for _, list in ipairs({P .. ':x:dstage:' .. former, P .. ':inbound:' .. former}) do
  local entries = not misused(list, 'list') and redis.call('LRANGE', list, 0, -1) or {}
  for _, entry in ipairs(entries) do
    -- Only what may name it is read, for that is slow. JSON may spell it otherwise.
    local may = string.find(entry, ws, 1, true) or string.find(entry, '\\u', 1, true)
    if may and read(entry).ws == ws then
      redis.call('RPUSH', P .. ':x:dstage:' .. me, entry)
      redis.call('LREM', list, 1, entry)
    end
  end
end

local made = {}
for i = 8, #ARGV do made[ARGV[i]] = true end
local function of_it(cid, held)
  return made[cid] or read(string.sub(held, 2)).ws == ws
end

local before, here = P .. ':x:inflight:' .. former, P .. ':x:inflight:' .. me
local all = redis.call('HGETALL', before)
for i = 1, #all, 2 do
  local cid, held = all[i], all[i + 1]
  local record = P .. ':x:cid:' .. cid
  if of_it(cid, held) and not record_misused(cid) then
    local r = redis.call('HMGET', record, 's', 'n')
    if not r[1] or (r[1] == 'accepted' and r[2] == former) then
      -- Without a record nobody knows whether effects had begun.
      if not r[1] then redis.call('HSET', record, 'fx', '1') end
      redis.call('HINCRBY', record, 'e', 1)
      redis.call('HSET', record, 's', 'accepted', 'n', me, 'ws', ws)
      redis.call('EXPIRE', record, ARGV[7])
      redis.call('HSET', here, cid, held)
    end
    redis.call('HDEL', before, cid)
  end
end

local mine = {}
all = redis.call('HGETALL', here)
for i = 1, #all, 2 do
  if of_it(all[i], all[i + 1]) and not record_misused(all[i]) then
    mine[#mine + 1], mine[#mine + 2] = all[i], all[i + 1]
    mine[#mine + 1] = tonumber(redis.call('HGET', P .. ':x:cid:' .. all[i], 'e') or 0)
  end
end
return {'taken', epoch, mine}
