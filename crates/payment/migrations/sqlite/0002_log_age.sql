-- Old events of the provider are deleted by their age. The transaction log needs no such index: its ids begin with
-- their time.
create index provider_events_received_at on provider_events (received_at);
