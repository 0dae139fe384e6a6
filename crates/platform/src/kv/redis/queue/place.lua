-- The place of a member, or what became of it while that is kept. ARGV: line, member.
-- Answers: 0 and the place, or 2 and the outcome; nothing if there is none.
local known = redis.call('HGET', members, ARGV[2])
if known then
    return { 0, known }
end
local outcome = redis.call('HGET', outcomes, ARGV[2])
if outcome then
    local _, kept_until = times(outcome)
    if clock() < kept_until then
        return { 2, outcome }
    end
end
return false
