-- Keeps what was loaded, unless it was forgotten since the load began, by whichever process, or
-- the load took so long that this can't be told any more.
-- KEYS: the value, when it was forgotten last. ARGV: when the load began (Redis' time in
-- microseconds), the longest a load may take in microseconds, time to live in milliseconds, the
-- value. Answers: 1 if kept.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local forgotten_at = tonumber(redis.call('GET', KEYS[2]) or 0)
if forgotten_at >= tonumber(ARGV[1]) or now - ARGV[1] >= tonumber(ARGV[2]) then
    return 0
end
redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[3])
return 1
