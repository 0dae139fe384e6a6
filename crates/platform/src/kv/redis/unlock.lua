-- Gives a lock back, if it still is the caller's. KEYS: the lock. ARGV: its fence.
if redis.call('GET', KEYS[1]) == ARGV[1] then
    redis.call('DEL', KEYS[1])
end
