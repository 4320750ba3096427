-- KEYS: fence, ver, k...; ARGV: run_id, replid, migration, generation, then for each k: seq,
-- pexpiretime, payload ('' when k is absent on the authority). An array: 1 applied, 0 not newer.
-- The throughput of a migration is decided here: two reads for a whole batch, and no text is built
-- inside the loop. No allow-oom: Redis answers OOM before the first write (an UNLINK of ours would
-- let the later writes pass), so a batch is refused as a whole.
local fence = call('HMGET', KEYS[1], 'run_id', 'replid', 'guard:' .. ARGV[3])

-- Open for just this generation: else late mirrors would write into a new owner, or into a hold.
local refused = unfenced(fence[1], fence[2]) or not_at(fence[3], ARGV[4], '1')
    or lost(call('HEXISTS', KEYS[2], SENTINEL) == 1, KEYS[2])
if refused then
    return refused
end

local ver = KEYS[2]
local applied, numbers = {}, {}
local count = #KEYS - 2
for from = 1, count, CHUNK do
    local to = math.min(from + CHUNK - 1, count)
    local known = call('HMGET', ver, unpack(KEYS, from + 2, to + 2))
    for i = from, to do
        local key, at = KEYS[i + 2], 2 + 3 * i
        local seq, last = tonumber(ARGV[at]), known[i - from + 1]
        -- Larger, not "not smaller": two states can have one number, when a plain write ran between
        -- two readings, and the late one would win. A key without writes (0) goes in only where no
        -- numbered state has been: else a late backfill would undo it. The same key twice in one
        -- batch would be judged by one reading, so what this batch wrote is remembered.
        last = tonumber(numbers[key] or last or -1)
        if seq > last then
            call('UNLINK', key)
            local payload = ARGV[at + 2]
            if payload ~= '' then
                local expiry = ARGV[at + 1]
                -- RESTORE's 0 is "no expiry", PEXPIRETIME's is -1.
                call('RESTORE', key, expiry == '-1' and '0' or expiry, payload, 'ABSTTL')
            end
            if seq > 0 then
                call('HSET', ver, key, ARGV[at])
                numbers[key] = seq
            end
            applied[i] = 1
        else
            applied[i] = 0
        end
    end
end
return applied
