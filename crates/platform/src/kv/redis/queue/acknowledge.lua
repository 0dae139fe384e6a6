-- Removes claimed places that are done. ARGV: line, their numbers. Answers how many there were.
local removed = 0
for at = 2, #ARGV do
    if remove_claimed(ARGV[at]) then
        removed = removed + 1
    end
end
if removed > 0 then
    thinned()
end
return removed
