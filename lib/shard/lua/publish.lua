-- KEYS: fence. ARGV: run_id, replid, epoch, peer. +OK, UNFENCED or STALE.
local peer = 'peer:' .. ARGV[4]
local fence = call('HMGET', KEYS[1], 'run_id', 'replid', peer)

local refused = unfenced(fence[1], fence[2])
if refused then
    return refused
end
-- A peer that a barrier has killed and removed must not come back by publishing: it would count as
-- adopted while its other connections, killed or about to be, are unknown.
-- (Model: NOKILL.)
if not fence[3] then
    return {err = 'STALE this peer was removed'}
end
local connection, published = string.match(fence[3], '^(%d+):(%d+)$')
-- Only rises: a late publication of an older epoch must not make a barrier wait again.
if tonumber(ARGV[3]) > tonumber(published) then
    call('HSET', KEYS[1], peer, connection .. ':' .. ARGV[3])
end
return redis.status_reply('OK')
