-- KEYS: fence. ARGV: run_id, replid, epoch. An array: name, '<connection>:<epoch>', name, ...
local fence = call('HMGET', KEYS[1], 'run_id', 'replid', 'epoch')

local refused = unfenced(fence[1], fence[2])
if refused then
    return refused
end
-- Only rises: a late migrator must not reopen the shard to stale proxies.
-- (Model: FENCENOTMAX.)
if tonumber(ARGV[3]) > tonumber(fence[3]) then
    call('HSET', KEYS[1], 'epoch', ARGV[3])
end
-- The peers are read after the raise and in the same script: a hello between a reading and the
-- raise would be under the old epoch and on no list.
-- (Model: NOFENCE.)
local peers = {}
local fields = call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 5) == 'peer:' then
        peers[#peers + 1] = string.sub(fields[i], 6)
        peers[#peers + 1] = fields[i + 1]
    end
end
return peers
