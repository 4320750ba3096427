-- KEYS: fence, metadata... ARGV: run_id, replid. The number removed, or UNFENCED. Of a base that is
-- over, whatever the guard says: no base comes back, and absent means lost, not empty, so nothing
-- can be taken for more than it is. The caller's barrier has passed, so no write makes them anew.
local fence = call('HMGET', KEYS[1], 'run_id', 'replid')
local refused = unfenced(fence[1], fence[2])
if refused then
    return refused
end
return unlink_all(2)
