-- Work that asks for labels of its node: put before the scripts that take it, and that give it up.
-- What the node at hand does not have, waits aside in P:x:wait:<requirement>; whatever follows in
-- the same workstream waits behind it, so that the order stays.

-- What a node with these labels has: each label, and the key of each.
local function labelled(text)
  local has = {}
  for label in string.gmatch(text, '[^ ]+') do
    has[label] = true
    has[string.match(label, '^[^=]+')] = true
  end
  return has
end

local function meets(has, requirement)
  for label in string.gmatch(requirement, '[^,]+') do
    if not has[label] then return false end
  end
  return true
end

-- The requirement behind which a message waits at a node that has this; nil if it need not.
local function awaited(found, has)
  local behind = found.ws ~= '' and redis.call('HGET', P .. ':x:behind', found.ws)
  if behind then return string.match(behind, ' (.*)$') end
  if found.target ~= '' or meets(has, found.requires) then return nil end
  if found.ws ~= '' and redis.call('EXISTS', P .. ':ws:' .. found.ws) == 1 then return nil end
  return found.requires
end

-- One more message of a workstream waits aside, or one less.
local function count_behind(requirement, found, by)
  if found.ws == '' then return end
  local behind = redis.call('HGET', P .. ':x:behind', found.ws)
  local count = tonumber(behind and string.match(behind, '^%d+') or 0) + by
  if count > 0 then
    redis.call('HSET', P .. ':x:behind', found.ws, count .. ' ' .. requirement)
  else
    redis.call('HDEL', P .. ':x:behind', found.ws)
  end
end

-- Puts an entry aside, and rouses the nodes that are there for it.
local function put_aside(requirement, entry, found)
  redis.call('RPUSH', P .. ':x:wait:' .. requirement, entry)
  redis.call('ZADD', P .. ':x:waits', 'NX', string.format('%.6f', now()), requirement)
  count_behind(requirement, found, 1)
  local all = redis.call('HGETALL', P .. ':x:labels')
  for i = 1, #all, 2 do
    local list = P .. ':x:rouse:' .. all[i]
    local there = redis.call('EXISTS', P .. ':node:' .. all[i]) == 1
    if there and meets(labelled(all[i + 1]), requirement) and redis.call('EXISTS', list) == 0 then
      redis.call('RPUSH', list, '1')
      redis.call('EXPIRE', list, 60)
    end
  end
end

-- Takes the head of a requirement's list out, behind which it was.
local function drop_aside(requirement, found)
  redis.call('LPOP', P .. ':x:wait:' .. requirement)
  if redis.call('EXISTS', P .. ':x:wait:' .. requirement) == 0 then
    redis.call('ZREM', P .. ':x:waits', requirement)
  end
  count_behind(requirement, found, -1)
end
