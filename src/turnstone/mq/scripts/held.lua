-- The entries of processing lists from their heads; those without an id are given one.
-- KEYS 1... processing lists
-- ARGV 2 entries of each, at most
-- Also touches P:x:anon. Returns the entries of each.
local found = {}
for _, list in ipairs(KEYS) do
  local entries = redis.call('LRANGE', list, 0, tonumber(ARGV[2]) - 1)
  for i, entry in ipairs(entries) do
    local content = named(entry, read(entry))
    if content ~= entry then
      redis.call('LSET', list, i - 1, content)
      entries[i] = content
    end
  end
  found[#found + 1] = entries
end
return found
