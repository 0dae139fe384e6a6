-- Takes a lock that is free, with a fence greater than every one before. It is no less than
-- Redis' time in microseconds, so that it grows even if Redis has lost everything.
-- KEYS: the lock, the last fence. ARGV: time to live in milliseconds.
-- Answers: the fence; nothing if somebody holds the lock.
if redis.call('EXISTS', KEYS[1]) == 1 then
    return false
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local fence = math.max(tonumber(redis.call('GET', KEYS[2]) or 0) + 1, now)
redis.call('SET', KEYS[2], string.format('%.0f', fence))
redis.call('SET', KEYS[1], string.format('%.0f', fence), 'PX', ARGV[1])
return fence
