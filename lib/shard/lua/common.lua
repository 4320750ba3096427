-- Stands before every script. KEYS[1] is the fence; ARGV[1], ARGV[2] are the run id and the replid
-- of the process that the caller believes it talks to. docs/internals/on-shard.md is the contract.
-- Errors are returned, never raised: Redis would append its own words to a raised one.
local call = redis.call
local SENTINEL = '__sluice:sentinel'
-- unpack() fails above LUAI_MAXCSTACK (8000), so long lists go in pieces of this many.
local CHUNK = 1000

-- A fence that is absent or names another process means that everything else here may have been
-- lost with it: without this check a shard emptied by FLUSHALL, a restart or a failover would be
-- served and written as if it still had its slots.
-- (Model: TLOSS_nobase.)
local function unfenced(run_id, replid)
    if run_id == ARGV[1] and replid == ARGV[2] then
        return nil
    end
    if not run_id then
        return {err = 'UNFENCED the fence is absent'}
    end
    return {err = 'UNFENCED the fence names another process, ' .. run_id}
end

-- Asks the server itself: the run id and the replid in a caller's topology and in a fence that came
-- from an AOF or a master agree with each other, though the process is another.
local function other_server()
    local info = call('INFO', 'server') .. call('INFO', 'replication')
    local run_id = string.match(info, '\nrun_id:(%x+)')
    local replid = string.match(info, '\nmaster_replid:(%x+)')
    if run_id == ARGV[1] and replid == ARGV[2] then
        return nil
    end
    return {err = 'UNFENCED this server is another process, ' .. tostring(run_id)}
end

-- Metadata are made by make.lua alone. Where the sentinel is gone, all numbers or marks are: an
-- empty `dirty` would read as "everything is verified", an empty `ver` would let old states in.
local function lost(sentinel, name)
    if sentinel then
        return nil
    end
    return {err = 'LOST ' .. name}
end

local function marks_lost(seq, dirty)
    return lost(call('HEXISTS', seq, SENTINEL) == 1, seq)
        or lost(call('SISMEMBER', dirty, SENTINEL) == 1, dirty)
end

-- Destructive steps and applies run only while the guard says exactly what their sender believes:
-- else a migrator that wakes up late would delete or overwrite a new owner's only copy.
-- (Model: NOGUARDCHECK, NOGENCHECK, PURGENOGUARD, NOCLOSE.)
local function not_at(guard, generation, state)
    if guard == generation .. ':' .. state then
        return nil
    end
    return {err = 'STALE ' .. (guard or '0:0')}
end

-- Of what is written to a copy; ARGV[3], ARGV[4] are the migration and its generation. Open for just
-- this one: else late mirrors would write into a new owner, or into a hold.
-- (Model: NOGUARDCHECK, NOGENCHECK.)
local function copy_refused(ver)
    local fence = call('HMGET', KEYS[1], 'run_id', 'replid', 'guard:' .. ARGV[3])
    return unfenced(fence[1], fence[2]) or not_at(fence[3], ARGV[4], '1')
        or lost(call('HEXISTS', ver, SENTINEL) == 1, ver)
end

-- The generation and the state of a guard as numbers; 0, 0 when there is none. Numbers, because
-- '9' > '10' as text. Epochs stay far below 2^53, where Lua's numbers stop being exact.
local function guard_parts(guard)
    local generation, state = string.match(guard or '0:0', '^(%d+):(%d+)$')
    return tonumber(generation), tonumber(state)
end

-- A fence takes its guards with it, so a guard that is absent proves nothing about generations from
-- before the fence was written where there was none: else a migrator of that time wakes up, makes
-- its guard anew, and purges the only copy.
local function before_fence(guard, born, generation)
    if guard or not born or generation >= tonumber(born) then
        return nil
    end
    return {err = 'STALE 0:0 born ' .. born}
end

local function unlink_all(first)
    local removed = 0
    for from = first, #KEYS, CHUNK do
        removed = removed + call('UNLINK', unpack(KEYS, from, math.min(from + CHUNK - 1, #KEYS)))
    end
    return removed
end

