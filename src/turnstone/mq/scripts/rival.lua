-- Who has the seats that a process wants, if it lives.
-- KEYS 1... seats
-- ARGV 2 incarnation, 3 boots of processes that are dead, with spaces between them
-- Returns the incarnation, the end of its lease, and which seat it has (the first is 0); nil if
-- there is none.
local other, ends, which = rival(1, ARGV[2], ARGV[3])
return other and {other, ends, which} or false
