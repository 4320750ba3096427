-- KEYS: fence, metadata... ARGV: run_id, replid, migration, generation. The number removed, UNFENCED
-- or STALE. Only once the guard is closed for just this generation: metadata dropped earlier would
-- read as lost, or be made again by writes that are still under way.
-- (Model: DROPRAW.)
local fence = call('HMGET', KEYS[1], 'run_id', 'replid', 'guard:' .. ARGV[3])
local refused = unfenced(fence[1], fence[2]) or not_at(fence[3], ARGV[4], '4')
if refused then
    return refused
end
return unlink_all(2)
