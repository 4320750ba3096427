-- KEYS: fence. ARGV: run_id, replid (of the server), mode, cluster, shard, epoch. +OK or UNFENCED.
local mode, cluster, shard, epoch = ARGV[3], ARGV[4], ARGV[5], ARGV[6]

-- The caller found this process and wrote it into the topology; if another sits here by now, its
-- fence is not ours to write.
local refused = other_server()
if refused then
    return refused
end
local fields = call('HGETALL', KEYS[1])
local fence = {}
for i = 1, #fields, 2 do
    fence[fields[i]] = fields[i + 1]
end
if fields[1] then
    -- init and shard add must not take a shard that is in use, by whomever.
    if mode == 'first' then
        return {err = 'UNFENCED there is a fence already, of shard ' .. tostring(fence.shard)}
    end
    -- Another cluster's shard, or another shard of this one behind a wrong address, keeps its data
    -- under its own rules.
    if fence.cluster ~= cluster or fence.shard ~= shard then
        return {err = 'UNFENCED the fence is of shard ' .. tostring(fence.shard) .. ' of cluster '
            .. tostring(fence.cluster)}
    end
elseif mode == 'takeover' then
    -- A shard that came back empty is not served before an operator has looked at it.
    return {err = 'UNFENCED the fence is absent'}
end

-- Only rises: a late taker-over must not reopen the shard to stale proxies.
-- (Model: FENCENOTMAX.)
if not fence.epoch or tonumber(epoch) > tonumber(fence.epoch) then
    fence.epoch = epoch
end
-- "If it is still so": when another was faster, the fence names this process already and proxies
-- have said hello to it since. They stay on the list, else no later barrier would wait for them. So
-- do those of a fence that was closed: it may have been this process', and who closed it may have
-- died before it ended their connections. Or it was of a process before, and this one gives the
-- same ids to other connections: with nobody's, 0, remove_peer sees that a peer has said hello.
-- (Model: PEERSGONE, CLOSEDGONE.)
local is_closed = fence.run_id == 'closed'
local is_other = fence.run_id ~= ARGV[1] or fence.replid ~= ARGV[2]
for i = 1, is_other and #fields or 0, 2 do
    if string.sub(fields[i], 1, 5) == 'peer:' and is_closed then
        call('HSET', KEYS[1], fields[i], '0:' .. (string.match(fields[i + 1], ':(%d+)$') or '0'))
    elseif string.sub(fields[i], 1, 5) == 'peer:' then
        call('HDEL', KEYS[1], fields[i])
    end
end
-- The guards that were here went with the fence that was: those of older generations are refused.
if not fields[1] then
    call('HSET', KEYS[1], 'born', epoch)
end
call('HSET', KEYS[1], 'cluster', cluster, 'shard', shard, 'run_id', ARGV[1], 'replid', ARGV[2],
    'epoch', fence.epoch)
return redis.status_reply('OK')
