-- KEYS: fence, then ver, or seq and dirty. ARGV: run_id, replid, migration, generation, state.
-- +OK, UNFENCED or STALE. The only script that creates metadata.
local guard = 'guard:' .. ARGV[3]
local fence = call('HMGET', KEYS[1], 'run_id', 'replid', guard, 'born')

-- Made on a shard that has lost its data since, the sentinels would pass an emptied copy off as
-- one whose numbers are all known. Rare, so the server itself is asked too.
local refused = unfenced(fence[1], fence[2]) or other_server()
if refused then
    return refused
end
-- A migrator that wakes up late must not make the metadata of a base that is over, nor pull the
-- guard back to a generation whose mirrors have been shut out.
-- (Model: GUARDREGRESS.)
local generation, state = guard_parts(fence[3])
local to_generation, to_state = tonumber(ARGV[4]), tonumber(ARGV[5])
if generation > to_generation then
    return {err = 'STALE ' .. fence[3]}
end
refused = before_fence(fence[3], fence[4], to_generation)
if refused then
    return refused
end
if to_generation > generation or to_state > state then
    call('HSET', KEYS[1], guard, ARGV[4] .. ':' .. ARGV[5])
end
-- A dual write may have come first: its numbers and marks stay.
-- (Model: MAKERESETS.)
call('HSETNX', KEYS[2], SENTINEL, '1')
if KEYS[3] then
    call('SADD', KEYS[3], SENTINEL)
end
return redis.status_reply('OK')
