-- The head of a line. ARGV: line. Answers: serving, last, how many wait or are claimed.
local numbers = redis.call('HMGET', head, 'serving', 'last')
return { numbers[1] or '0', numbers[2] or '0', text(redis.call('HLEN', members)) }
