-- The beginning of every script of the waiting queue: a line's keys, and what is done with them.
-- KEYS: the prefix of the line's keys, the turns of all lines. ARGV[1]: the line's name.
--
--   head      hash     last, serving, looked_at (up to it each place was claimed or is gone), turn
--                      (when it was claimed last), settings; stays when the line is empty
--   members   hash     member -> claims:number:joined_at:content, of all who have a place
--   w<block>  hash     number -> member, of the places of a block that were never claimed; small
--                      enough for Redis to keep it as one string
--   claims    hash     number -> member, of the places that are claimed
--   leases    zset     number, by when its lease ends
--   returned  zset     number by number, of the places whose lease has ended
--   outcomes  hash     member -> number:joined_at:holds_until:kept_until:outcome
--   ends      zset     member, by when its outcome need not be kept any more
--
-- Times are Redis' own, in microseconds. Numbers are doubles here, exact up to 2^53, and must not
-- become text by themselves: that would round them.
local BLOCK = 128
local FORGOTTEN_AT_ONCE = 100
local line, turns, name = KEYS[1], KEYS[2], ARGV[1]
local head, members, claims = line .. 'head', line .. 'members', line .. 'claims'
local leases, returned = line .. 'leases', line .. 'returned'
local outcomes, ends = line .. 'outcomes', line .. 'ends'

local function text(number)
    return string.format('%.0f', number)
end

local function clock()
    local time = redis.call('TIME')
    return time[1] * 1000000 + time[2]
end

local function block_of(number)
    return line .. 'w' .. text(math.floor(number / BLOCK))
end

-- How often a place was claimed, its number, when it was taken, and its content.
local function read(place)
    return string.match(place, '^(%d+):(%d+):(%d+):(.*)$')
end

-- Until when an outcome holds, and until when it is kept.
local function times(outcome)
    local holds_until, kept_until = string.match(outcome, '^%d+:%d+:(%-?%d+):(%-?%d+):')
    return tonumber(holds_until), tonumber(kept_until)
end

-- Forgets outcomes whose time is over.
local function sweep(now)
    local ended = redis.call('ZRANGE', ends, '-inf', now, 'BYSCORE', 'LIMIT', 0, FORGOTTEN_AT_ONCE)
    for _, member in ipairs(ended) do
        redis.call('HDEL', outcomes, member)
        redis.call('ZREM', ends, member)
    end
end

-- Removes a claimed place; answers its member and what was kept of it, if there was one.
local function remove_claimed(number)
    local member = redis.call('HGET', claims, number)
    if not member then
        return nil
    end
    local place = redis.call('HGET', members, member)
    redis.call('HDEL', members, member)
    redis.call('HDEL', claims, number)
    redis.call('ZREM', leases, number)
    redis.call('ZREM', returned, number)
    return member, place
end

-- After places have gone: a line that is empty has no turn, and nothing to look at.
local function thinned()
    if redis.call('EXISTS', members) == 0 then
        redis.call('ZREM', turns, name)
        redis.call('HSET', head, 'looked_at', redis.call('HGET', head, 'last') or '0')
    end
end

