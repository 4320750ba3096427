-- KEYS: fence, seq, dirty. ARGV: run_id, replid, then k, n, k, n, ... The number of marks removed,
-- UNFENCED or LOST.
local seq, dirty = KEYS[2], KEYS[3]
local fence = call('HMGET', KEYS[1], 'run_id', 'replid')

local refused = unfenced(fence[1], fence[2]) or marks_lost(seq, dirty)
if refused then
    return refused
end
-- One call for each list: a migration clears a mark for every write. (Counted here: the length of a
-- table is searched for.)
local removed = 0
for from = 3, #ARGV, 2 * CHUNK do
    local to = math.min(from + 2 * CHUNK, #ARGV + 1) - 2
    local names, size, verified = {}, 0, 0
    for i = from, to, 2 do
        size = size + 1
        names[size] = ARGV[i]
    end
    local numbers = call('HMGET', seq, unpack(names))
    for i = 1, size do
        -- Only while no write came after the comparison at n: else its mark would be lost, and the
        -- key pass for verified.
        -- (Model: CLEARNOCMP, COUNTMARK.)
        if (numbers[i] or '0') == ARGV[from + 2 * i - 1] then
            verified = verified + 1
            names[verified] = names[i]
        end
    end
    if verified > 0 then
        removed = removed + call('SREM', dirty, unpack(names, 1, verified))
    end
end
return removed
