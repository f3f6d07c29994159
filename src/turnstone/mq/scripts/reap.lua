-- Returns what incarnations whose lease is over had taken, in its order; then answers what was
-- sent to nodes that never were (strays.lua).
-- KEYS 1 alive (zset), 2 stage
-- ARGV 2 incarnation, 3 node, 4 moves at most, 5 grace, 6 seconds until given up,
--      7 seconds of the record, 8 dead letters, 9 bytes of a dead letter,
--      10 pattern of the names to look at, 11 how many at most, 12 grace of an unknown node
-- Reads P:x:beats: no silence counts from before the leases that began after a gap in all beats.
-- Also touches, of nodes that are gone: P:x:pd:*, P:x:ps:*, P:x:dstage:*, P:x:inflight:*, and
-- P:x:cid:*, P:x:dead; publishes endings.
-- Does nothing for a process whose own lease is over: its successor lives, perhaps.
-- Returns the number of moves, messages that were answered among them; nodes, and how many
-- messages of each were returned; correlation ids and reasons of what was buried.
if not lease(ARGV[2]) then return {0, {}, {}} end
local mine, me, slice = ARGV[2], ARGV[3], tonumber(ARGV[4])
local grace, lost_after = tonumber(ARGV[5]), tonumber(ARGV[6])
local limits = {ttl = ARGV[7], letters = ARGV[8], raw = ARGV[9]}
local t, moved, returned = now(), 0, {}
local since = tonumber(redis.call('HGET', P .. ':x:beats', 'from') or 0)

-- From the tail to the head, so that the order stays and new arrivals come after.
local function drain(from, to)
  while moved < slice and redis.call('LMOVE', from, to, 'RIGHT', 'LEFT') do
    moved = moved + 1
  end
  return redis.call('EXISTS', from) == 0
end

local function lost(cid, held, record, node)
  local found = read(string.sub(held, 2))
  local reason = 'The node ' .. node .. ' was lost before it ended this message.'
  if record[3] == '1' then
    reason = 'The node ' .. node .. ' was lost while it worked on this message: the outcome is '
      .. 'unknown, so check what was done before you send it again.'
  end
  bury(cid, record[4] or found.ws, found.raw, reason, node, limits)
end

-- What a node that is gone had accepted. True when nothing of it waits any more.
local function settle(node, ended)
  local inflight = P .. ':x:inflight:' .. node
  if t < ended + grace then return redis.call('EXISTS', inflight) == 0 end
  local waiting, all = false, redis.call('HGETALL', inflight)
  for i = 1, #all, 2 do
    if moved >= slice then return false end
    local cid, held = all[i], all[i + 1]
    local key = P .. ':x:cid:' .. cid
    local record = record_misused(cid) and {} or redis.call('HMGET', key, 's', 'n', 'fx', 'ws')
    local settled = true
    if record[1] and not (record[1] == 'accepted' and record[2] == node) then
      -- Ended, or another's already: only the note of it is left.
      settled = true
    elseif record[1] and record[3] ~= '1' and string.sub(held, 1, 1) == 's' then
      redis.call('LPUSH', KEYS[2], string.sub(held, 2))
      redis.call('HINCRBY', key, 'e', 1)
      redis.call('HSET', key, 's', 'queued', 'n', '')
    elseif t >= ended + lost_after then
      lost(cid, held, record, node)
    else
      settled, waiting = false, true
    end
    if settled then
      redis.call('HDEL', inflight, cid)
      moved = moved + 1
    end
  end
  return not waiting
end

local nodes, last, over = {[me] = true}, {}, {}
local members = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #members, 2 do
  local member, ends = members[i], tonumber(members[i + 1])
  local node = string.match(member, '^(.*)|[^|]*$') or member
  if ends > t and (node ~= me or member == mine) then
    nodes[node] = true
  else
    over[#over + 1] = {member = member, node = node, ends = ends}
    last[node] = math.max(last[node] or 0, ends)
    nodes[node] = nodes[node] or false
  end
end
for _, gone in ipairs(over) do
  local before = moved
  local directed = drain(P .. ':x:pd:' .. gone.member, P .. ':x:dstage:' .. gone.node)
  local shared = drain(P .. ':x:ps:' .. gone.member, KEYS[2])
  if directed and shared then
    local older = nodes[gone.node] or gone.ends < last[gone.node]
    if older or settle(gone.node, math.max(gone.ends, since)) then
      redis.call('ZREM', KEYS[1], gone.member)
    end
  end
  if moved > before then
    returned[#returned + 1], returned[#returned + 2] = gone.node, moved - before
  end
  if moved >= slice then break end
end
moved = moved + answer(ARGV[10], ARGV[11], tonumber(ARGV[12]), slice - moved, t, limits, nodes)
return {moved, returned, buried}
