-- KEYS: fence, k... ARGV: run_id, replid, migration, generation. The number removed, UNFENCED or
-- STALE. Deletes copies, and only while the guard says purge for just this generation: a migrator
-- that wakes up late would otherwise purge the new owner's only copy.
-- (Model: PURGENOGUARD, NOCLOSE.)
local fence = call('HMGET', KEYS[1], 'run_id', 'replid', 'guard:' .. ARGV[3])
local refused = unfenced(fence[1], fence[2]) or not_at(fence[3], ARGV[4], '3')
if refused then
    return refused
end
return unlink_all(2)
