-- Counts a try, before any work, and says whether the message is to be run.
-- KEYS 1 processing list, 2 the message's record
-- ARGV 2 incarnation, 3 node, 4 entry, 5 cid, 6 ws, 7 '1' to bind it to this node,
--      8 tries at most, 9 seconds of the record, 10 dead letters, 11 bytes of a dead letter,
--      12 name of this attempt, 13 what the message says (a hash); either may be empty
-- Also touches P:x:dead, P:x:dstage:<node>, P:x:beats; publishes endings.
-- Returns admission, epoch, tries; 1 if an earlier try was bound to this node.
local me, entry, cid, ws = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local attempt, digest = ARGV[12], ARGV[13]
local limits = {ttl = ARGV[9], letters = ARGV[10], raw = ARGV[11]}
local ends = lease(ARGV[2])
if not ends then return {'lapsed', 0, 0} end
local bad = record_misused(cid)
if bad then
  if redis.call('LREM', KEYS[1], 1, entry) == 1 then bury(cid, ws, read(entry).raw, bad, me, limits) end
  return {'dead', 0, 0}
end

local r = redis.call('HMGET', KEYS[2], 's', 'n', 'i', 'u', 'e', 'fx', 'tries', 'ws', 'f', 'a', 'b', 'h')
local s, n, epoch, tries = r[1], r[2], tonumber(r[5] or 0), tonumber(r[7] or 0)

-- Another text under an id that is in use. The ending of the first is its own sender's, who may
-- listen on the same channel: so this one is told an error, and an ending only where that cannot
-- be taken for the first one's.
local function refuse()
  local why, t = 'Another text was sent under the correlation id ' .. cid .. ' before this one: '
    .. 'send it under an id of its own.', now()
  local told = {cjson.encode({
    type = 'error', ws_id = ws, correlation_id = cid, timestamp = t, message = why
  })}
  if s == 'done' or s == 'dead' or (ws ~= '' and ws ~= r[8]) then
    told[2] = cjson.encode({type = 'turn_complete', ws_id = ws, correlation_id = cid, timestamp = t})
  end
  letter(cid, ws, read(entry).raw, why, 0, me, limits)
  tell(ws, cjson.encode(told))
end

if r[12] and digest ~= '' and r[12] ~= digest then
  if redis.call('LREM', KEYS[1], 1, entry) == 1 then refuse() end
  return {'refused', epoch, tries}
end
if s == 'accepted' then
  redis.call('LREM', KEYS[1], 1, entry)
  return {s, epoch, tries}
end
if s == 'done' or s == 'dead' then
  if redis.call('LREM', KEYS[1], 1, entry) == 1 then tell(r[8], r[9]) end
  return {s, epoch, tries}
end
if not redis.call('LPOS', KEYS[1], entry) then return {'fenced', epoch, tries} end
-- Redis has lost what it knew, and a node that has this one may not have entered it again yet.
local hold = not s and redis.call('HGET', P .. ':x:beats', 'hold')
if hold and now() < tonumber(hold) then return {'held', epoch, tries} end
if s == 'claimed' and n ~= me then
  if r[6] == '1' then
    redis.call('RPUSH', P .. ':x:dstage:' .. n, entry)
    redis.call('LREM', KEYS[1], 1, entry)
    return {'elsewhere', epoch, tries}
  end
  -- One of the same id is on its way into another's journal. It gets there within the lease
  -- under which it was admitted, or not at all.
  if lease(r[3]) and tonumber(r[4]) > now() then return {'held', epoch, tries} end
end

-- The same attempt once more, whose answer was lost: it counts once, and binds nobody to what it
-- did not hear of.
if s == 'claimed' and n == me and r[3] == ARGV[2] and attempt ~= '' and r[10] == attempt then
  return {'run', epoch, tries, r[11] == '1' and 1 or 0}
end

tries = redis.call('HINCRBY', KEYS[2], 'tries', 1)
if tries > tonumber(ARGV[8]) then
  redis.call('LREM', KEYS[1], 1, entry)
  bury(cid, ws, read(entry).raw,
    'The message was tried ' .. ARGV[8] .. ' times and was never taken on: it is given up.', me,
    limits)
  return {'dead', epoch, tries}
end
epoch = redis.call('HINCRBY', KEYS[2], 'e', 1)
redis.call('HSET', KEYS[2], 's', 'claimed', 'n', me, 'i', ARGV[2], 'u', ends, 'ws', ws,
  'a', attempt, 'b', r[6] == '1' and '1' or '0')
if digest ~= '' then redis.call('HSET', KEYS[2], 'h', digest) end
if ARGV[7] == '1' then redis.call('HSET', KEYS[2], 'fx', '1') end
redis.call('EXPIRE', KEYS[2], ARGV[9])
return {'run', epoch, tries, r[6] == '1' and 1 or 0}
