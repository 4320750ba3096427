-- KEYS: fence, ver, k...; ARGV: run_id, replid, migration, generation, then for each k: seq,
-- pexpiretime, payload ('' when k is absent on the authority). Where an 's' stands before
-- pexpiretime, k is a string and the payload that string, else it is DUMP's. An array: 1 applied, 0
-- not newer, or the error of that key's RESTORE; or UNFENCED, STALE, LOST.
-- The throughput of a migration is decided here: strings go in with one call a chunk, the rest with
-- one a key, and no text is built in the loops. No allow-oom: Redis answers OOM before the first write (an UNLINK of
-- ours would let the later writes pass), so a batch is refused as a whole.
local ver = KEYS[2]
local refused = copy_refused(ver)
if refused then
    return refused
end

local LETTER_S = 115
local applied = {}
-- Decides which of the keys from..to are newer than the copy and unlinks those. Result: key -> its
-- index, the last one where a batch has a key twice.
local function make_room(from, to)
    local newest, room, size = {}, {}, 0
    local known = call('HMGET', ver, unpack(KEYS, from + 2, to + 2))
    for i = from, to do
        local key, seq = KEYS[i + 2], tonumber(ARGV[2 + 3 * i])
        local earlier = newest[key]
        local last = earlier and ARGV[2 + 3 * earlier] or known[i - from + 1]
        -- Larger, not "not smaller": two states can have one number, when a plain write ran between
        -- two readings, and the late one would win. A key without writes (0) goes in only where no
        -- numbered state has been: else a late backfill would undo it.
        -- (Model: NOSEQ, BFNOCHECK.)
        if not last or seq > tonumber(last) then
            applied[i] = 1
            newest[key] = i
            size = size + 1
            room[size] = key
        else
            applied[i] = 0
        end
    end
    if size > 0 then
        call('UNLINK', unpack(room))
    end
    return newest
end

-- Makes k what the authority says. Result: the error of a RESTORE, or nil. A string without expiry
-- goes into `strings` instead, k and value by turns; `filled` of that list, before and after.
local function put(key, expiry, payload, strings, filled)
    if expiry == 's-1' then
        strings[filled + 1] = key
        strings[filled + 2] = payload
        return nil, filled + 2
    end
    if string.byte(expiry) == LETTER_S then
        call('SET', key, payload, 'PXAT', string.sub(expiry, 2))
        return nil, filled
    end
    if payload == '' then
        return nil, filled
    end
    -- RESTORE's 0 is "no expiry", PEXPIRETIME's is -1.
    local outcome = redis.pcall('RESTORE', key, expiry == '-1' and '0' or expiry, payload, 'ABSTTL')
    return outcome.err and outcome or nil, filled
end

local count = #KEYS - 2
for from = 1, count, CHUNK do
    local to = math.min(from + CHUNK - 1, count)
    local newest, versions, size = make_room(from, to), {}, 0
    local strings, filled = {}, 0
    for i = from, to do
        local key, at = KEYS[i + 2], 2 + 3 * i
        if newest[key] == i then
            local refusal
            refusal, filled = put(key, ARGV[at + 1], ARGV[at + 2], strings, filled)
            if refusal then
                -- One payload that this server cannot read does not stop the others. Its number is
                -- not recorded: the copy is behind, and says so.
                applied[i] = refusal
            elseif ARGV[at] ~= '0' then
                versions[size + 1] = key
                versions[size + 2] = ARGV[at]
                size = size + 2
            end
        end
    end
    if filled > 0 then
        call('MSET', unpack(strings))
    end
    if size > 0 then
        -- (Model: BFNOENTER.)
        call('HSET', ver, unpack(versions))
    end
end
return applied
