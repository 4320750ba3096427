-- KEYS: fence, seq, dirty, k... (the written ones first). ARGV: run_id, replid, number of written
-- keys, the client's protocol, then the command. Its reply. In place of MULTI, which refuses even DEL above maxmemory; sent
-- only after EXECABORT has proven that nothing ran. The connection has said hello: no checks here,
-- as there are none in the MULTI.
-- More arguments than unpack() can pass on: refused with nothing done, in the words the client
-- would have had without us.
if #ARGV > 7900 then
    return {err = "OOM command not allowed when used memory > 'maxmemory'."}
end
-- Else a client of RESP3 gets a map as an array, a double as a string.
redis.setresp(tonumber(ARGV[4]))
-- Marks first: a write that ran unmarked would never reach the copy.
-- (Model: NOMARK.)
for i = 4, 3 + tonumber(ARGV[3]) do
    call('HINCRBY', KEYS[2], KEYS[i], 1)
    call('SADD', KEYS[3], KEYS[i])
end
-- pcall, so that the command's own error is the reply, without the words that Redis adds to a raised
-- one.
return redis.pcall(unpack(ARGV, 5))
