-- What several scripts need; put before each of them. ARGV[1] is always the prefix of all keys.
-- Names below the prefix that depend on a message are made here: they fall into the same slot
-- as KEYS[1], because on a cluster the prefix is a hash tag.

local P = ARGV[1]

-- A full Redis refuses a script's first write if that may need memory, and no later one. These
-- scripts carry work to its end, which frees memory; so this first write, which does nothing,
-- is one that is never refused.
redis.call('ZREM', P .. ':x:alive', '')

local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) + tonumber(t[2]) / 1000000
end

-- The end of an incarnation's lease if it is still to come, otherwise nil.
local function lease(incarnation)
  local ends = redis.call('ZSCORE', P .. ':x:alive', incarnation)
  if ends and tonumber(ends) > now() then return ends end
  return nil
end

-- The nodes of which a process has a lease at this time, as a set.
local function leasing(t)
  local nodes, later = {}, string.format('(%.6f', t)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', P .. ':x:alive', later, '+inf')) do
    nodes[string.match(member, '^(.*)|[^|]*$') or member] = true
  end
  return nodes
end

-- Another incarnation that lives and has one of the seats KEYS[first...], the end of its lease, and
-- which of them; nil if none. One whose boot is among the dead has none, whatever its lease says.
local function rival(first, incarnation, dead)
  for i = first, #KEYS do
    local holder = redis.call('HGET', KEYS[i], 'i')
    if holder and holder ~= incarnation then
      local boot = ' ' .. string.match(holder, '[^|]*$') .. ' '
      local gone = string.find(' ' .. dead .. ' ', boot, 1, true)
      local ends = not gone and lease(holder)
      if ends then return holder, ends, i - first end
    end
  end
  return nil
end

-- Notes that a node is there, or that somebody knew it.
local function seen(node)
  redis.call('ZADD', P .. ':x:seen', string.format('%.6f', now()), node)
end

-- The highest epoch of the workstreams that were forgotten: one that is not known begins behind it.
local function floor()
  return tonumber(redis.call('GET', P .. ':x:floor') or 0) or 0
end

local TO_WORKSTREAM = {send = true, command = true, close_workstream = true, cancel = true}
local TO_NODE = {
  send = true, command = true, close_workstream = true, cancel = true, create_workstream = true
}

local TO_LABELS = {send = true, create_workstream = true}

-- The labels that a message asks for, with commas between them: the rule of labels.py.
local function requirement(value)
  if type(value) ~= 'table' or #value == 0 or #value > 16 then return '' end
  for _, label in ipairs(value) do
    local good = type(label) == 'string' and #label <= 127 and
      (string.find(label, '^[%w._/-]+$') or string.find(label, '^[%w._/-]+=[%w._/-]+$'))
    if not good then return '' end
  end
  return table.concat(value, ',')
end

local function name(value)
  if type(value) == 'string' and #value <= 128 and string.find(value, '^[%w._-]+$') then
    return value
  end
  return ''
end

-- The flat string fields at the beginning of an object that is too large to be decoded.
local function beginning(raw)
  local head, found = string.sub(raw, 1, 4096), {}
  local at = string.match(head, '^[ \t\r\n]*{()')
  while at do
    local key, colon = string.match(head, '^[ \t\r\n]*"([]-~ !#-[]*)"[ \t\r\n]*:()', at)
    if not key then break end
    local value, after = string.match(head, '^[ \t\r\n]*"([]-~ !#-[]*)"[ \t\r\n]*,()', colon)
    if value then found[key] = value end
    at = after or string.match(head, '^[ \t\r\n]*[%w.+-]+[ \t\r\n]*,()', colon)
  end
  return found
end

-- What a list entry says about its way: the rules of entry.py. Whether the message is whole is
-- for Python to say: the two parsers differ on bytes that are no UTF-8, large numbers and depth.
local function read(entry)
  local given, raw = '', entry
  if string.byte(entry) == 1 then
    local feed = string.find(entry, '\n', 1, true)
    if feed then
      given, raw = string.sub(entry, 2, feed - 1), string.sub(entry, feed + 1)
    end
  end
  local found = {raw = raw, cid = given, ws = '', target = '', kind = '', requires = '', any = false,
    readable = false}
  if not string.find(raw, '^%s*{') then return found end
  local large, ok, message = #raw > 1048576, true, nil
  if large then message = beginning(raw) else ok, message = pcall(cjson.decode, raw) end
  if not ok or type(message) ~= 'table' then return found end
  local own = message.correlation_id
  if own == nil or own == cjson.null then own = '' end
  local good = type(own) == 'string' and #own <= 256 and string.sub(own, 1, 5) ~= 'anon:'
  found.readable = good and not large
  if given == '' and good then found.cid = own end
  if type(message.type) == 'string' then
    found.kind = message.type
    if TO_WORKSTREAM[message.type] then found.ws = name(message.ws_id) end
    if TO_NODE[message.type] then found.target = name(message.target_node) end
    -- Any node may have it, if its own is gone. What has a workstream belongs to that one's.
    found.any = message.type == 'send' and found.ws == '' and message.if_unavailable == 'any'
    if TO_LABELS[message.type] then found.requires = requirement(message.requires) end
  end
  return found
end

-- The entry with an id of its own, if its message came without one. The time is in it because the
-- count begins anew in a Redis that comes back empty or older, while journals keep the ids.
local function named(entry, found)
  if found.readable and found.cid == '' then
    local t, n = redis.call('TIME'), redis.call('INCR', P .. ':x:anon')
    return string.format('\1anon:%s%06d-%d\n', t[1], t[2], n) .. found.raw
  end
  return entry
end

-- Publish an ending, a JSON list of messages, where the sender of the message looks.
local function tell(ws, ending)
  if not ending or ending == '' then return end
  local channel = P .. ':events:' .. ((ws and ws ~= '') and ws or 'global')
  for _, message in ipairs(cjson.decode(ending)) do
    redis.call('PUBLISH', channel, message)
  end
end

-- Why a message cannot be handled whose name in Redis is in use by something else; nil if it can.
-- `kind`: a type of Redis, or count, which is a string that can be counted up.
-- One such message must not stop the work on all others.
local function misused(name, kind)
  local found = redis.call('TYPE', name).ok
  local count = kind == 'count' and found == 'string' and redis.call('GET', name)
  if count and #count <= 15 and string.find(count, '^%d+$') then return nil end
  if found == 'none' or found == kind then return nil end
  return 'The name ' .. name .. ' in Redis is in use by something that is not the queue\'s: '
    .. 'remove that, and send the message again.'
end

local function record_misused(cid)
  return cid ~= '' and misused(P .. ':x:cid:' .. cid, 'hash') or nil
end

-- Correlation id and reason of what this call has buried, of one after the other.
local buried = {}

local function letter(cid, ws, raw, reason, tries, node, limits)
  buried[#buried + 1], buried[#buried + 2] = cid, reason
  redis.call('XADD', P .. ':x:dead', 'MAXLEN', '~', limits.letters, '*',
    'correlation_id', cid, 'ws_id', ws, 'reason', reason, 'tries', tries, 'node', node,
    'bytes', #raw, 'raw', string.sub(raw, 1, limits.raw))
end

-- Dead letter, record and ending of a message that will not be run.
local function bury(cid, ws, raw, reason, node, limits)
  local t, tries = now(), 0
  local ending = cjson.encode({
    cjson.encode({
      type = 'error', ws_id = ws, correlation_id = cid, timestamp = t, message = reason
    }),
    cjson.encode({type = 'turn_complete', ws_id = ws, correlation_id = cid, timestamp = t})
  })
  if cid ~= '' and not record_misused(cid) then
    local record = P .. ':x:cid:' .. cid
    redis.call('HSET', record, 's', 'dead', 'ws', ws, 'f', ending, 'r', cjson.encode({
      outcome = 'dead', error = reason, correlation_id = cid, ws_id = ws
    }))
    redis.call('EXPIRE', record, limits.ttl)
    tries = redis.call('HGET', record, 'tries') or 0
  end
  letter(cid, ws, raw, reason, tries, node, limits)
  tell(ws, ending)
end
