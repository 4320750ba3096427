-- KEYS: fence, seq, dirty, k... An array of the new numbers, UNFENCED or LOST. For the repair of a
-- copy that is not behind and yet unequal: under its old number it would be refused for ever.
local fence = call('HMGET', KEYS[1], 'run_id', 'replid')

-- HINCRBY on a lost seq would begin again at 1, below numbers that the copy has seen.
local refused = unfenced(fence[1], fence[2]) or marks_lost(KEYS[2], KEYS[3])
if refused then
    return refused
end
-- (Model: NOBUMP.)
local numbers = {}
for i = 4, #KEYS do
    numbers[i - 3] = call('HINCRBY', KEYS[2], KEYS[i], 1)
    call('SADD', KEYS[3], KEYS[i])
end
return numbers
