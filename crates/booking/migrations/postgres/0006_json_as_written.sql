-- As it was written (json) instead of taken apart (jsonb): nobody looks for what is in it, and taking it apart and putting it
-- together again costs more than the rest of the row. Existing rows are written anew once.
alter table bookings
    alter column choice type json using choice::json,
    alter column terms type json using terms::json,
    alter column places type json using places::json,
    alter column lines type json using lines::json,
    alter column refusal type json using refusal::json;
alter table booking_keys
    alter column choice type json using choice::json,
    alter column refusal type json using refusal::json;
