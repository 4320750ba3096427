-- KEYS: fence. ARGV: run_id, replid, epoch, peer, connection id. +OK, FENCED or UNFENCED.
local epoch, peer, connection = ARGV[3], 'peer:' .. ARGV[4], ARGV[5]
local fence = call('HMGET', KEYS[1], 'run_id', 'replid', 'epoch', peer)

-- A proxy must not serve from a shard that lost its data, or from a server at the same address that
-- is not the one its topology names; a fence out of an AOF names the process before the restart.
local refused = unfenced(fence[1], fence[2]) or other_server()
if refused then
    return refused
end
-- A stale proxy (hung, partitioned, resumed) must not reach slots that have moved on without it.
-- (Model: NOFENCE.)
if tonumber(fence[3]) > tonumber(epoch) then
    return {err = 'FENCED ' .. fence[3]}
end
-- The last connection to say hello, not the largest id: remove_peer must see that one came, also
-- when an older connection was slower to say it. What was published before still holds.
local published = string.match(fence[4] or '', ':(%d+)$') or '0'
call('HSET', KEYS[1], peer, connection .. ':' .. published)
return redis.status_reply('OK')
