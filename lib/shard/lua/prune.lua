-- KEYS: fence. ARGV: run_id, replid, horizon. The number of guards removed, or UNFENCED.
-- Forgets the closed guards of generations below the horizon, and remembers for all of them together
-- that such generations are over. The caller knows that no migration, and no debt, that is open on
-- the shard, now or ever after, has one below it.
local fields = call('HGETALL', KEYS[1])
local fence = {}
for i = 1, #fields, 2 do
    fence[fields[i]] = fields[i + 1]
end
local refused = unfenced(fence.run_id, fence.replid)
if refused then
    return refused
end
-- A store that is restored from a backup goes on above the fences' epochs: what begins then must not
-- be below the horizon.
local horizon = math.min(tonumber(ARGV[3]), tonumber(fence.epoch))
local removed, newest = 0, tonumber(fence.pruned or '0')
for name, value in pairs(fence) do
    if string.sub(name, 1, 6) == 'guard:' then
        local generation, state = guard_parts(value)
        -- Open ones tell what may be done to the shard's keys. (Model: DROPGUARD.)
        if state == 4 and generation < horizon then
            call('HDEL', KEYS[1], name)
            removed = removed + 1
            newest = math.max(newest, generation)
        end
    end
end
if removed > 0 then
    -- A guard refused its own generation and those below; where it is absent, `born` refuses all
    -- below the horizon, of which these are a part. (Model: DROPGUARD.)
    local born = math.max(horizon, tonumber(fence.born or '0'))
    call('HSET', KEYS[1], 'born', string.format('%.0f', born), 'pruned',
        string.format('%.0f', newest))
end
return removed
