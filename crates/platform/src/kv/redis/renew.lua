-- Holds a lock for longer, if it still is the caller's.
-- KEYS: the lock. ARGV: its fence, time to live in milliseconds. Answers 1; 0 if it was lost.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
