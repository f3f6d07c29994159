-- The entries of a processing list from its head; those without an id are given one.
-- KEYS 1 processing list
-- ARGV 2 entries, at most
-- Also touches P:x:anon. Returns the entries.
local entries = redis.call('LRANGE', KEYS[1], 0, tonumber(ARGV[2]) - 1)
for i, entry in ipairs(entries) do
  local content = named(entry, read(entry))
  if content ~= entry then
    redis.call('LSET', KEYS[1], i - 1, content)
    entries[i] = content
  end
end
return entries
