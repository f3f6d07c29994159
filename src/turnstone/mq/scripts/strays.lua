-- Work for nodes that never were, and workstreams of nodes that have not been seen for long: put
-- before reap.lua, which calls `answer` at its end.
-- Touches P:x:seen, P:x:strays, P:x:search; reads the keys of all nodes; forgets P:ws:<ws> and
-- P:x:epoch:<ws>, and keeps the highest in P:x:floor; takes from P:inbound:* and P:x:dstage:* of strays; writes P:x:cid:*,
-- P:x:dead, stage; publishes endings.
-- `nodes` has all that hold a lease or held one just now: true for those that live.

-- Seconds for which a node that was seen is known; and for which it is noted beyond that, so that
-- the look through all keys finds what it owned.
local KNOWN, NOTED = 30 * 86400, 86400

-- Was it ever there, here or as a node of 0.2 that was seen, or is something of it in flight?
local function lived(node, nodes)
  local noted = redis.call('ZSCORE', P .. ':x:seen', node)
  return nodes[node] ~= nil or (noted and tonumber(noted) > now() - KNOWN)
    or redis.call('EXISTS', P .. ':node:' .. node, P .. ':x:inflight:' .. node) > 0
end

-- The rest of a key that begins so.
local function rest(key, beginning)
  if string.sub(key, 1, #beginning) == beginning then return string.sub(key, #beginning + 1) end
  return nil
end

-- A workstream has its owner as long as that is known. Whoever has it afterwards has an epoch above
-- all that were forgotten, so that a process which wakes then is an earlier owner all the same.
local function owned(ws, key, t, nodes)
  local owner, epoch = redis.pcall('GET', key), P .. ':x:epoch:' .. ws
  if type(owner) ~= 'string' or nodes[owner] then return end
  redis.call('ZADD', P .. ':x:seen', 'NX', string.format('%.6f', t), owner)
  if lived(owner, nodes) or misused(epoch, 'count') then return end
  local last = math.max(floor(), tonumber(redis.call('GET', epoch) or 0))
  redis.call('SET', P .. ':x:floor', string.format('%d', last))
  redis.call('DEL', key, epoch)
end

-- What one key says of nodes.
local function note(key, t, nodes)
  local beaten, ws = rest(key, P .. ':node:'), rest(key, P .. ':ws:')
  local asked = rest(key, P .. ':inbound:') or rest(key, P .. ':x:dstage:')
  if beaten then
    seen(beaten)
  elseif ws then
    owned(ws, key, t, nodes)
  elseif asked and not lived(asked, nodes) then
    redis.call('ZADD', P .. ':x:strays', 'NX', string.format('%.6f', t), asked)
  end
end

-- One step through all keys, at a place that all nodes share, and not more often than `every`
-- seconds for all of them. The pattern lets through a little more than what is looked for. True
-- if it was made.
local function look(pattern, count, every, t, nodes)
  local place = redis.call('HMGET', P .. ':x:search', 'cursor', 'at', 'began')
  local since = t - tonumber(place[2] or 0)
  if since >= 0 and since < every then return false end
  for node in pairs(nodes) do seen(node) end
  redis.call('ZREMRANGEBYSCORE', P .. ':x:seen', '-inf', string.format('%.6f', t - KNOWN - NOTED))
  local cursor, stamp = place[1] or '0', string.format('%.6f', t)
  local began = cursor ~= '0' and place[3] or stamp
  local found = redis.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', count)
  redis.call('HSET', P .. ':x:search', 'cursor', found[1], 'at', stamp, 'began', began)
  if found[1] == '0' then redis.call('HSET', P .. ':x:search', 'whole', began) end
  for _, key in ipairs(found[2]) do note(key, t, nodes) end
  return true
end

-- Whether a node has a message, and will bring it to its end or has it brought there.
local function has(node, cid, nodes)
  return nodes[node] or redis.call('EXISTS', P .. ':node:' .. node) == 1
    or redis.call('HEXISTS', P .. ':x:inflight:' .. node, cid) == 1
end

-- A copy of what the queue carries elsewhere is dropped, and its ending, if it has one, told
-- again. What its sender leaves to any node goes to staging. False, and nothing done, if the message shows that its node was there once.
local function refuse(entry, node, shown, limits, nodes)
  entry = named(entry, read(entry))
  local found = read(entry)
  if found.cid ~= '' and not record_misused(found.cid) then
    local r = redis.call('HMGET', P .. ':x:cid:' .. found.cid, 's', 'ws', 'f', 'n')
    if r[1] == 'done' or r[1] == 'dead' then
      tell(r[2], r[3])
      return true
    end
    if r[4] == node then
      seen(node)
      return false
    end
    if r[1] == 'queued' or (r[4] and has(r[4], found.cid, nodes)) then return true end
  end
  if found.any then
    redis.call('RPUSH', KEYS[2], entry)
    return true
  end
  bury(found.cid, found.ws, found.raw, 'Unknown node ' .. shown
    .. ': no node of this name has worked on this queue in the last 30 days.', shown, limits)
  return true
end

-- Look on, and answer what has waited beyond the grace, and through one whole look at all keys;
-- at most `slice` messages. How many.
local function answer(pattern, count, grace, slice, t, limits, nodes)
  local looked = look(pattern, count, grace / 24, t, nodes)
  local whole = tonumber(redis.call('HGET', P .. ':x:search', 'whole') or 0)
  local upto = looked and '+inf' or string.format('%.6f', t - grace)
  local moved = 0
  for _, node in ipairs(redis.call('ZRANGEBYSCORE', P .. ':x:strays', '-inf', upto,
    'LIMIT', 0, 100)) do
    local shown = string.sub(string.gsub(node, '[^%w._-]', '?'), 1, 128)
    local since, left = tonumber(redis.call('ZSCORE', P .. ':x:strays', node)), false
    local due = since + grace <= t and since <= whole
    for _, name in ipairs({P .. ':x:dstage:' .. node, P .. ':inbound:' .. node}) do
      local waits = not lived(node, nodes) and redis.call('TYPE', name).ok == 'list'
      while waits and due and moved < slice do
        local entry = redis.call('LINDEX', name, 0)
        if not entry then break end
        if not refuse(entry, node, shown, limits, nodes) then
          waits = false
          break
        end
        redis.call('LPOP', name)
        moved = moved + 1
      end
      left = left or (waits and redis.call('EXISTS', name) == 1)
    end
    if not left then redis.call('ZREM', P .. ':x:strays', node) end
  end
  return moved
end
