-- KEYS: fence, ver, k...; ARGV: run_id, replid, migration, generation, then the value of each k: a
-- string without expiry that no write had been to when it was read (seq 0). The usual case of a
-- backfill, for less than apply.lua takes. The number of keys that were put; or UNFENCED, STALE,
-- LOST. At most CHUNK keys. No UNLINK: a large value that stands in the way is rare, and freed at
-- once. No allow-oom, as in apply.lua.
local refused = copy_refused(KEYS[2])
if refused then
    return refused
end

local known = call('HMGET', KEYS[2], unpack(KEYS, 3))
local strings, filled = {}, 0
for i = 1, #KEYS - 2 do
    -- Only where no numbered state has been: else a late backfill would undo it.
    -- (Model: BFNOCHECK.)
    if not known[i] then
        strings[filled + 1] = KEYS[i + 2]
        strings[filled + 2] = ARGV[i + 4]
        filled = filled + 2
    end
end
if filled > 0 then
    call('MSET', unpack(strings))
end
return filled / 2
