-- As it was written (json) instead of taken apart (jsonb): nobody looks for what is in it, and taking it apart and putting it
-- together again costs more than the rest of the row. Existing rows are written anew once.
alter table provider_events alter column body type json using body::json;
alter table transaction_log
    alter column request type json using request::json,
    alter column response type json using response::json;
