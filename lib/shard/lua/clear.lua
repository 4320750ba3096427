-- KEYS: fence, seq, dirty. ARGV: run_id, replid, then k, n, k, n, ... The number of marks removed,
-- UNFENCED or LOST.
local seq, dirty = KEYS[2], KEYS[3]
local fence = call('HMGET', KEYS[1], 'run_id', 'replid')

local refused = unfenced(fence[1], fence[2]) or marks_lost(seq, dirty)
if refused then
    return refused
end
local removed = 0
for i = 3, #ARGV, 2 do
    -- Only while no write came after the comparison at n: else its mark would be lost, and the key
    -- pass for verified.
    -- (Model: CLEARNOCMP, COUNTMARK.)
    if (call('HGET', seq, ARGV[i]) or '0') == ARGV[i + 1] then
        removed = removed + call('SREM', dirty, ARGV[i])
    end
end
return removed
