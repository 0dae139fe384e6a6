-- Rate limits (GCRA), by Redis' clock; the numbers are those of limits.rs.
-- KEYS: when each full burst is there again, in microseconds; the key ends with it.
-- ARGV: of each key, interval in microseconds, burst.
-- Answers of each, in order: allowed (1 or 0), how many more may come, microseconds until one may, until all may.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answers = {}
for i, key in ipairs(KEYS) do
    local interval = tonumber(ARGV[2 * i - 1])
    local burst = interval * tonumber(ARGV[2 * i])
    local whole_at = math.max(tonumber(redis.call('GET', key) or now), now)
    local missing = whole_at + interval - now - burst
    local allowed = missing <= 0
    if allowed then
        whole_at = whole_at + interval
        local ends_in = math.ceil((whole_at - now) / 1000)
        redis.call('SET', key, string.format('%.0f', whole_at), 'PX', ends_in)
    end
    local used = whole_at - now
    local remaining = math.floor(math.max(burst - used, 0) / interval)
    answers[i] = { allowed and 1 or 0, remaining, math.max(missing, 0), used }
end
return answers
