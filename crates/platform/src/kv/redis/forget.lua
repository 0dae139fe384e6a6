-- Forgets a cached value, and notes when, for as long as a load may take.
-- KEYS: the value, when it was forgotten last. ARGV: the longest a load may take in microseconds.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
redis.call('UNLINK', KEYS[1])
redis.call('SET', KEYS[2], string.format('%.0f', now), 'PX', math.ceil(ARGV[1] / 1000))
