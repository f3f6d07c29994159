-- For a node that has no room: takes from staging and from the shared list what needs none (what
-- any node answers, and answers to questions), and sends to its owner what has one. What makes a
-- workstream stays where it is. The order within each workstream stays as well.
-- KEYS 1 stage, 2 shared list, 3 processing list (shared) of this incarnation
-- ARGV 2 incarnation, 3 entries of each list to look at, at most
-- Also touches P:x:seen, P:inbound:<node>, P:x:dstage:<node>, P:x:anon; reads P:ws:<ws>,
-- P:x:cid:<cid>, P:x:behind.
-- Returns the entries that are this incarnation's now; nil if its lease is over.
if not lease(ARGV[2]) then return false end
local EASY = {
  health = true, list_workstreams = true, list_nodes = true, approve = true,
  plan_feedback = true, cancel = true
}
local taken, stays = {}, {}

-- Whether it must be left to claim: its record is no record, or says that it is bound to a node.
local function special(found)
  if found.cid == '' then return false end
  if record_misused(found.cid) then return true end
  local record = redis.call('HMGET', P .. ':x:cid:' .. found.cid, 's', 'fx')
  return record[1] == 'claimed' and record[2] == '1'
end

local function owner(found)
  if found.ws == '' or stays[found.ws] then return nil end
  if misused(P .. ':ws:' .. found.ws, 'string') then return nil end
  if redis.call('HEXISTS', P .. ':x:behind', found.ws) == 1 then return nil end
  return redis.call('GET', P .. ':ws:' .. found.ws) or nil
end

for i = 1, 2 do
  for _, entry in ipairs(redis.call('LRANGE', KEYS[i], 0, tonumber(ARGV[3]) - 1)) do
    local found = read(entry)
    local left = special(found)
    local node = not left and owner(found)
    -- An envelope is a format of ours: never into a list that others read.
    local list = node and P .. (entry == found.raw and ':inbound:' or ':x:dstage:') .. node
    if list and not misused(list, 'list') then
      seen(node)
      redis.call('RPUSH', list, entry)
      redis.call('LREM', KEYS[i], 1, entry)
    elseif not left and found.readable and EASY[found.kind] then
      local content = named(entry, found)
      redis.call('RPUSH', KEYS[3], content)
      redis.call('LREM', KEYS[i], 1, entry)
      taken[#taken + 1] = content
    elseif found.ws ~= '' then
      stays[found.ws] = true -- what comes behind it in its workstream must not overtake it
    end
  end
end
return taken
