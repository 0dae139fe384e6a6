-- Takes a place at the end, or finds the one that the member has.
-- ARGV: line, member, content, the most that may wait.
-- Answers: 1 (new) or 0 (known) and the place; 2 and the outcome that holds; -1 and how many wait.
local member, now = ARGV[2], clock()
local known = redis.call('HGET', members, member)
if known then
    return { 0, known }
end
sweep(now)
local outcome = redis.call('HGET', outcomes, member)
if outcome then
    local holds_until, kept_until = times(outcome)
    if now < holds_until and now < kept_until then
        return { 2, outcome }
    end
end
local waiting = redis.call('HLEN', members)
if waiting >= tonumber(ARGV[4]) then
    return { -1, text(waiting) }
end
if outcome then
    redis.call('HDEL', outcomes, member)
    redis.call('ZREM', ends, member)
end
local number = redis.call('HINCRBY', head, 'last', 1)
local place = table.concat({ '0', text(number), text(now), ARGV[3] }, ':')
redis.call('HSET', members, member, place)
redis.call('HSET', block_of(number), text(number), member)
if waiting == 0 then
    redis.call('ZADD', turns, redis.call('HGET', head, 'turn') or '0', name)
end
return { 1, place }
