-- KEYS: fence. ARGV: run_id, replid, the epoch that the caller has found in it, epoch. +OK, UNFENCED
-- or STALE.
local fence = call('HMGET', KEYS[1], 'run_id', 'replid', 'epoch')

local refused = unfenced(fence[1], fence[2])
if refused then
    return refused
end
-- Taken back meanwhile: that wrote the fence anew, at a later epoch.
if fence[3] ~= ARGV[3] then
    return {err = 'STALE the fence is at epoch ' .. tostring(fence[3])}
end
-- It names no process from now on, so that hello refuses every proxy, whatever its epoch: a restored
-- store may hand out small ones again. The epoch rises too, for a taker-over that named this process
-- before and comes late to write its fence.
if tonumber(ARGV[4]) > tonumber(fence[3]) then
    call('HSET', KEYS[1], 'epoch', ARGV[4])
end
call('HSET', KEYS[1], 'run_id', 'closed', 'replid', 'closed')
return redis.status_reply('OK')
