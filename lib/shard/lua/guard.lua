-- KEYS: fence, optionally ver. ARGV: run_id, replid, migration, generation, state, evicted or -1.
-- +OK, UNFENCED, LOST, EVICTED or STALE.
local guard = 'guard:' .. ARGV[3]
local fence = call('HMGET', KEYS[1], 'run_id', 'replid', guard, 'born')

-- A copy that became another process must not become an owner: it may lack its last second. Rare,
-- so the server itself is asked too.
-- (Model: TLOSS_nobase.)
local refused = unfenced(fence[1], fence[2]) or other_server()
-- Nor one whose numbers are gone: what was compared with them is no longer known.
if not refused and KEYS[2] then
    refused = lost(call('HEXISTS', KEYS[2], SENTINEL) == 1, KEYS[2])
end
if refused then
    return refused
end
-- Nor one that has evicted keys since the base began: a verified key may be gone.
if ARGV[6] ~= '-1' then
    local evicted = string.match(call('INFO', 'stats'), '\nevicted_keys:(%d+)')
    if evicted ~= ARGV[6] then
        return {err = 'EVICTED ' .. tostring(evicted)}
    end
end
-- Only rises, (generation, state) as a pair: a migrator that wakes up late would otherwise open a
-- new owner to old mirrors, or to a purge.
-- (Model: GUARDREGRESS, DROPGUARD.)
local generation, state = guard_parts(fence[3])
local to_generation, to_state = tonumber(ARGV[4]), tonumber(ARGV[5])
if generation > to_generation or (generation == to_generation and state > to_state) then
    return {err = 'STALE ' .. fence[3]}
end
refused = before_fence(fence[3], fence[4], to_generation)
if refused then
    return refused
end
call('HSET', KEYS[1], guard, ARGV[4] .. ':' .. ARGV[5])
return redis.status_reply('OK')
