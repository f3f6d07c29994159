-- Work for nodes that never were: put before reap.lua, which calls `answer` at its end.
-- Touches P:x:known, P:x:strays, P:x:look; reads the keys of all nodes; takes from P:inbound:*
-- and P:x:dstage:* of strays; writes P:x:cid:*, P:x:dead; publishes endings.

-- Has it ever beaten, here or as a node of 0.2 that was seen, or is something of it in flight?
local function lived(node)
  return redis.call('SISMEMBER', P .. ':x:known', node) == 1
    or redis.call('EXISTS', P .. ':node:' .. node, P .. ':x:inflight:' .. node) > 0
end

-- The node whose name comes after this beginning of a key.
local function owner(key, beginning)
  if string.sub(key, 1, #beginning) == beginning then return string.sub(key, #beginning + 1) end
  return nil
end

-- One step through all keys, at a place that all nodes share. The pattern lets through a little
-- more than what is looked for, so the beginnings are compared.
local function look(pattern, count, t)
  local place = redis.call('GET', P .. ':x:look') or '0'
  local found = redis.call('SCAN', place, 'MATCH', pattern, 'COUNT', count)
  redis.call('SET', P .. ':x:look', found[1])
  for _, key in ipairs(found[2]) do
    local beaten = owner(key, P .. ':node:')
    local asked = owner(key, P .. ':inbound:') or owner(key, P .. ':x:dstage:')
    if beaten then
      redis.call('SADD', P .. ':x:known', beaten)
    elseif asked and not lived(asked) then
      redis.call('ZADD', P .. ':x:strays', 'NX', string.format('%.6f', t), asked)
    end
  end
end

-- A copy of what the queue knows already is dropped, and its ending, if it has one, told again.
local function refuse(entry, node, limits)
  entry = named(entry, read(entry))
  local found = read(entry)
  if found.cid ~= '' then
    local r = redis.call('HMGET', P .. ':x:cid:' .. found.cid, 's', 'ws', 'f')
    if r[1] == 'done' or r[1] == 'dead' then tell(r[2], r[3]) end
    if r[1] then return end
  end
  bury(found.cid, found.ws, found.raw, 'Unknown node ' .. node
    .. ': no node of this name has ever worked on this queue.', node, limits)
end

-- Look on, and answer what has waited beyond the grace; at most `slice` messages. How many.
local function answer(pattern, count, grace, slice, t, limits)
  look(pattern, count, t)
  local moved = 0
  for _, node in ipairs(redis.call('ZRANGE', P .. ':x:strays', 0, 99)) do
    local shown = string.sub(string.gsub(node, '[^%w._-]', '?'), 1, 128)
    local since, left = tonumber(redis.call('ZSCORE', P .. ':x:strays', node)), false
    for _, name in ipairs({P .. ':x:dstage:' .. node, P .. ':inbound:' .. node}) do
      local waits = not lived(node) and redis.call('TYPE', name).ok == 'list'
      while waits and since + grace <= t and moved < slice do
        local entry = redis.call('LINDEX', name, 0)
        if not entry then break end
        refuse(entry, shown, limits)
        redis.call('LPOP', name)
        moved = moved + 1
      end
      left = left or (waits and redis.call('EXISTS', name) == 1)
    end
    if not left then redis.call('ZREM', P .. ':x:strays', node) end
  end
  return moved
end
