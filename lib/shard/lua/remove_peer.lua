-- KEYS: fence. ARGV: run_id, replid, peer, connection id. 1 when removed, else 0.
local peer = 'peer:' .. ARGV[3]
local fence = call('HMGET', KEYS[1], 'run_id', 'replid', peer)

local refused = unfenced(fence[1], fence[2])
if refused then
    return refused
end
-- A connection that said hello after the caller's CLIENT LIST was not killed: forgetting its peer
-- would leave it out of every later barrier.
-- (Model: NOKILL.)
if not fence[3] or string.match(fence[3], '^(%d+):') ~= ARGV[4] then
    return 0
end
return call('HDEL', KEYS[1], peer)
