-- Gives a place up that was not claimed. ARGV: line, member.
-- Answers: 1, or 0 if there is none; the number below zero if it is claimed.
local place = redis.call('HGET', members, ARGV[2])
if not place then
    return 0
end
local claimed, number = read(place)
if claimed ~= '0' then
    return -number
end
redis.call('HDEL', members, ARGV[2])
redis.call('HDEL', block_of(number), number)
thinned()
return 1
