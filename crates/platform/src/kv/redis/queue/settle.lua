-- Removes claimed places that are done, and keeps what became of them.
-- ARGV: line; then number, holds_until, kept_until and outcome of each.
-- Answers the numbers of those that there were.
local settled = {}
for at = 2, #ARGV, 4 do
    local number, holds_until, kept_until = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    local member, place = remove_claimed(number)
    if member then
        local _, _, joined_at = read(place)
        local kept = { number, joined_at, holds_until, kept_until, ARGV[at + 3] }
        redis.call('HSET', outcomes, member, table.concat(kept, ':'))
        redis.call('ZADD', ends, kept_until, member)
        settled[#settled + 1] = number
    end
end
if #settled > 0 then
    thinned()
end
sweep(clock())
return settled
