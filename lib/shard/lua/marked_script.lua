-- KEYS: fence, seq, dirty, the hash of kept scripts, k... ARGV: run_id, replid, `body` or `sha`, the
-- client's script or its SHA-1, then its arguments. Runs the client's script in place of EVAL or
-- EVALSHA, inside the MULTI that has marked k...; its reply. A script may write keys that it did not
-- declare: these are marked here, before the command that writes them, in the same step. No fence
-- check (the connection said hello). The client's script sees its own KEYS and ARGV, and a `redis`
-- whose call and pcall mark; all else is Redis' own.
local seq, dirty, kept = KEYS[2], KEYS[3], KEYS[4]
local api = redis
-- Stands before the client's first line, in that line: numbers of lines stay what they are.
local PROLOGUE = 'local redis, KEYS, ARGV, _G, loadstring, load = ... '
local CHUNK_NAME = '@user_script'
local KNOWN_FLAGS = {['no-writes'] = true, ['allow-oom'] = true, ['allow-stale'] = true,
                     ['no-cluster'] = true, ['allow-cross-slot-keys'] = true}

-- --- what a command writes ---------------------------------------------------------------------

-- Answers of COMMAND GETKEYSANDFLAGS to what has no keys, or to what Redis will not run either.
local HARMLESS = {'no key arguments', 'Invalid command specified', 'Invalid arguments specified',
                  'Invalid number of arguments', 'must be strings or integers'}

local function is_error(reply)
    return type(reply) == 'table' and reply.err ~= nil
end

local function is_harmless(message)
    for _, text in ipairs(HARMLESS) do
        if string.find(message, text, 1, true) then
            return true
        end
    end
    return false
end

-- Flags come as a list; once the client's script has said setresp(3), as the names in a set.
local function has_flag(flags, wanted)
    for index, value in pairs(flags.set or flags) do
        local flag = flags.set and index or value
        if (type(flag) == 'table' and flag.ok or flag) == wanted then
            return true
        end
    end
    return false
end

-- XREADGROUP moves its group, though its key is said to be read.
local function is_written(name, flags)
    return not has_flag(flags, 'RO') or string.lower(name) == 'xreadgroup'
end

-- One number a key suffices: nobody sees a state between the script's first write and its last.
-- (Model: NOMARK.)
local marked = {}
local function mark(key)
    if marked[key] then
        return nil
    end
    local number = api.pcall('HINCRBY', seq, key, 1)
    local member = is_error(number) and number or api.pcall('SADD', dirty, key)
    marked[key] = not is_error(member)
    return is_error(member) and member or nil
end

-- The error for which the command must not run, if any.
local function mark_written(...)
    if select('#', ...) < 2 then
        return nil
    end
    local found = api.pcall('COMMAND', 'GETKEYSANDFLAGS', ...)
    if is_error(found) then
        return not is_harmless(found.err) and found or nil
    end
    for _, key in ipairs(found) do
        local failure = is_written((...), key[2]) and mark(key[1])
        if failure then
            return failure
        end
    end
    return nil
end

-- --- the client's redis.call ---------------------------------------------------------------------

-- Refused by Redis like writes, though COMMAND does not say why.
local MAY_WRITE = {pfcount = true, publish = true, spublish = true}
local is_read_only = false -- by the flag no-writes of the client's script

local function refused(name, subcommand)
    local is_write = MAY_WRITE[string.lower(name)]
    local infos = api.call('COMMAND', 'INFO', name, name .. '|' .. tostring(subcommand))
    for _, info in ipairs({infos[1] or nil, infos[2] or nil}) do
        is_write = is_write or has_flag(info[3], 'write')
    end
    if is_write then
        return {err = 'ERR Write commands are not allowed from read-only scripts.'}
    end
    return nil
end

local function guest_pcall(...)
    local name, subcommand = ...
    local failure
    if is_read_only and type(name) == 'string' then
        failure = refused(name, subcommand)
    else
        failure = mark_written(...)
    end
    return failure or api.pcall(...)
end

local raised = {} -- by guest_call, last
local function guest_call(...)
    local reply = guest_pcall(...)
    if is_error(reply) then
        raised = reply
        error(reply)
    end
    return reply
end

-- `own` before what is in `real`; a change is one of `real`, which Redis refuses.
local function over(own, real)
    return setmetatable({}, {__index = setmetatable(own, {__index = real}), __newindex = real})
end

-- --- compiling ---------------------------------------------------------------------------------

local keys, arguments = {}, {}
local guest_redis = over({call = guest_call, pcall = guest_pcall}, redis)
local guest_globals, guest_loadstring, guest_load

local function world()
    return guest_redis, keys, arguments, guest_globals, guest_loadstring, guest_load
end

-- What the client's script compiles itself sees the same.
function guest_loadstring(text, name)
    local chunk, message = loadstring(text, name or text)
    if not chunk then
        return nil, message
    end
    return loadstring(PROLOGUE .. 'return function(...) ' .. text .. '\nend', name or text)(world())
end

function guest_load(read, name)
    local pieces = {}
    for piece in read do
        if piece == '' then
            break
        end
        pieces[#pieces + 1] = piece
    end
    return guest_loadstring(table.concat(pieces), name or '=(load)')
end

local own_globals = {redis = guest_redis, KEYS = keys, ARGV = arguments,
                     loadstring = guest_loadstring, load = guest_load}
guest_globals = over(own_globals, _G)
own_globals._G = guest_globals

-- The error of a word behind `#!lua`, if any. (Redis' own parser: "#!lua flags=a,b".)
local function take_option(word)
    local flags = string.match(word, '^flags=(.*)$')
    if not flags then
        return 'ERR Unknown lua shebang option: ' .. word
    end
    for flag in string.gmatch(flags, '[^,]+') do
        if not KNOWN_FLAGS[flag] then
            return 'ERR Unexpected flag in script shebang: ' .. flag
        end
        is_read_only = is_read_only or flag == 'no-writes'
    end
    return nil
end

-- The script without its first line, or nil and an error.
local function take_shebang(body)
    if string.sub(body, 1, 2) ~= '#!' then
        return body
    end
    local line_end = string.find(body, '\n', 1, true)
    if not line_end then
        return nil, 'ERR Invalid script shebang'
    end
    local first = true
    for word in string.gmatch(string.sub(body, 1, line_end - 1), '%S+') do
        local failure
        if not first then
            failure = take_option(word)
        elseif word ~= '#!lua' then
            failure = 'ERR Unexpected engine in script shebang: ' .. word
        end
        if failure then
            return nil, failure
        end
        first = false
    end
    return string.sub(body, line_end)
end

local function compile(body)
    local text, failure = take_shebang(body)
    if not text then
        return nil, failure
    end
    local chunk, message = loadstring(PROLOGUE .. text, CHUNK_NAME)
    if not chunk then
        return nil, 'ERR Error compiling script (new function): ' .. message
    end
    return chunk
end

-- --- running -----------------------------------------------------------------------------------

-- The line that runs `level` calls above the caller of this function, 1 being that caller; nil in a
-- function of C, and where a tail call has replaced the frame.
local function line_at(level)
    local _, where = pcall(error, '', level + 2)
    return string.match(tostring(where), ':(%d+): $')
end

local body = ARGV[4]

-- As Redis words what a script raises.
local function worded(failure)
    -- 2 has raised it; that may be a function of C, which tells no line, and then 3 has called that.
    -- What guest_call has raised came from `error`, from guest_call, from the client's script.
    local line
    if rawequal(failure, raised) then
        line = line_at(4)
    else
        line = line_at(2) or line_at(3)
    end
    if not line and not string.find(body, '\n', 1, true) then
        line = '1'
    end
    local text = type(failure) == 'table' and tostring(failure.err) or 'ERR ' .. tostring(failure)
    local place = line and ', on ' .. CHUNK_NAME .. ':' .. line or ''
    return {err = text .. ' script: ' .. api.sha1hex(body) .. place .. '.'}
end

for i = 5, #KEYS do
    keys[i - 4] = KEYS[i]
    marked[KEYS[i]] = true
end
for i = 5, #ARGV do
    arguments[i - 4] = ARGV[i]
end

if ARGV[3] == 'sha' then
    body = call('HGET', kept, string.lower(ARGV[4]))
    if not body then
        return {err = 'NOSCRIPT No matching script. Please use EVAL.'}
    end
end
local chunk, failure = compile(body)
if not chunk then
    return {err = failure}
end
-- In brackets, so that it is no tail call: the frame tells the line of an error.
local _, reply = xpcall(function() return (chunk(world())) end, worded)
return reply
