-- Lists are read from the newest object back; only what belongs to one intent has to be found among all others.
drop index stripe_objects_kind_seq;
drop index stripe_objects_kind_lookup_seq;
create index stripe_objects_of_intent on stripe_objects (lookup, seq) where kind in ('charge', 'refund');
