-- KEYS: fence, what else stays... ARGV: SYNC, ASYNC or '', the caller's epoch. +OK, or an error for
-- the client.
-- The keys of clients go and ours stay, in one step: there is no moment without a fence, and none in
-- the AOF either, where a script's effects are one transaction.
local fields = call('HGETALL', KEYS[1])
if not fields[1] then
    return {err = 'UNAVAILABLE the shard has lost its fence; not executed, safe to retry'}
end
-- The caller's topology may be older than a migration that has begun here since: what is flushed
-- under it would be missing on one side only, with no mark. A migration raises the fence before its
-- first dual write, which is before its guard.
for i = 1, #fields, 2 do
    if fields[i] == 'epoch' and tonumber(fields[i + 1]) > tonumber(ARGV[2]) then
        return {err = 'UNAVAILABLE the topology has changed meanwhile; not executed, safe to retry'}
    end
    if string.sub(fields[i], 1, 6) == 'guard:' then
        local _, state = guard_parts(fields[i + 1])
        if state < 4 then
            return {err = 'ERR a migration is open on a shard: finalize or abort it first'}
        end
    end
end
local kept = {}
for i = 1, #KEYS do
    kept[i] = call('DUMP', KEYS[i])
end
if ARGV[1] == '' then
    call('FLUSHDB')
else
    call('FLUSHDB', ARGV[1])
end
for i = 1, #KEYS do
    if kept[i] then
        call('RESTORE', KEYS[i], 0, kept[i])
    end
end
return redis.status_reply('OK')
