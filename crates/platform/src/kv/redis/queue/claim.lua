-- Claims places: those whose lease has ended, in order, then those that were never claimed.
-- ARGV: line, the most to claim, the lease in microseconds.
-- Answers: number, member and place of each, the place as it was before.
local LAPSED_AT_ONCE = 10000
local BLOCKS_AT_ONCE = 4096
local count = tonumber(ARGV[2])
if redis.call('EXISTS', members) == 0 then
    return {}
end
local now = clock()
sweep(now)
redis.call('HSET', head, 'turn', text(now))
redis.call('ZADD', turns, 'XX', now, name)
local lease_ends = now + ARGV[3]
local items = {}

local function take(number, member)
    local place = member and redis.call('HGET', members, member)
    if not place then
        return
    end
    local claimed, _, joined_at, content = read(place)
    local again = table.concat({ text(claimed + 1), number, joined_at, content }, ':')
    redis.call('HSET', members, member, again)
    redis.call('ZADD', leases, lease_ends, number)
    items[#items + 1] = { number, member, place }
end

local lapsed = redis.call('ZRANGE', leases, '-inf', now, 'BYSCORE', 'LIMIT', 0, LAPSED_AT_ONCE)
for _, number in ipairs(lapsed) do
    redis.call('ZREM', leases, number)
    redis.call('ZADD', returned, number, number)
end
while #items < count do
    local number = redis.call('ZPOPMIN', returned)[1]
    if not number then
        break
    end
    take(number, redis.call('HGET', claims, number))
end

local numbers = redis.call('HMGET', head, 'last', 'serving', 'looked_at')
local last, serving = tonumber(numbers[1]), tonumber(numbers[2] or 0)
local looked_at, blocks = tonumber(numbers[3] or 0), 0
while #items < count and looked_at < last and blocks < BLOCKS_AT_ONCE do
    blocks = blocks + 1
    local block, waiting = block_of(looked_at + 1), {}
    local flat = redis.call('HGETALL', block)
    for at = 1, #flat, 2 do
        waiting[flat[at]] = flat[at + 1]
    end
    local block_ends = (math.floor((looked_at + 1) / BLOCK) + 1) * BLOCK - 1
    local stop = math.min(block_ends, last)
    if #flat == 0 then
        looked_at = stop
    end
    while looked_at < stop and #items < count do
        looked_at = looked_at + 1
        local number = text(looked_at)
        local member = waiting[number]
        if member then
            redis.call('HDEL', block, number)
            redis.call('HSET', claims, number, member)
            serving = looked_at
            take(number, member)
        end
    end
end
redis.call('HSET', head, 'serving', text(serving), 'looked_at', text(looked_at))
return items
