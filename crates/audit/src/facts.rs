//! What is read of each store, as statements for it. Tables of the stores are plural, those of the
//! audit singular, so that one never stands in for the other.

/// How much of a store is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// What has yet to be done, to wait for it.
    Open,
    /// All of it.
    All,
}

/// Rows of a store that become rows of one table of the audit.
pub(crate) struct Fact {
    pub(crate) table: &'static str,
    /// The statement; `{…}` stands for what the engines call differently.
    select: &'static str,
    /// What follows it to see only what has yet to be done; none: nothing of it can be.
    open: Option<&'static str>,
}

/// Who runs a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// What the engines call differently: here, in SQLite, in PostgreSQL.
const WORDS: [(&str, &str, &str); 3] = [
    ("{position}", "instr", "strpos"),
    (
        "{seats of holds}",
        "value from holds, json_each(holds.seats)",
        "jsonb_array_elements_text(holds.seats) from holds",
    ),
    ("{none}", "null", "null::text"),
];

const fn fact(table: &'static str, select: &'static str) -> Fact {
    Fact { table, select, open: None }
}

impl Fact {
    const fn open(self, open: &'static str) -> Self {
        Self { open: Some(open), ..self }
    }

    /// The statement for `engine`, reading the database called `origin`; none where nothing of it
    /// is asked for.
    pub(crate) fn statement(&self, engine: Engine, depth: Depth, origin: &str) -> Option<String> {
        let open = match depth {
            Depth::All => "",
            Depth::Open => self.open?,
        };
        let text = format!("{} {open}", self.select).replace("{origin}", origin);
        let put = |text: String, (word, sqlite, postgres): &(&str, &str, &str)| {
            text.replace(word, if engine == Engine::Sqlite { sqlite } else { postgres })
        };
        Some(WORDS.iter().fold(text, put))
    }
}

/// What is read of the database of this name, whose outbox may be the log of its topic.
pub(crate) fn of(database: &str, is_log: bool) -> impl Iterator<Item = &'static Fact> {
    let own: &[Fact] = match database {
        "booking_service" => BOOKINGS,
        "booking_system_ticket" => TICKETS,
        "payment_db" => PAYMENTS,
        "booking_system" => MAILS,
        "booking_system_event" => EVENTS,
        "booking_system_auth" => ACCOUNTS,
        "user_service" => PROFILES,
        _ => &[],
    };
    own.iter().chain(HOUSE).chain(if is_log { LOGGED } else { RELAYED })
}

/// What every service has.
const HOUSE: &[Fact] = &[fact(
    "unanswered",
    "select '{origin}', key, at from boxoffice_idempotency where answer is null",
)
.open("")];

/// An outbox whose events leave it for the log.
const RELAYED: &[Fact] =
    &[fact("outbox", "select '{origin}', kind, key, at from boxoffice_outbox").open("")];

/// An outbox that is the log of its topic.
const LOGGED: &[Fact] = &[
    fact("doubled", "select id from boxoffice_outbox group by id having count(*) > 1"),
    fact(
        "news",
        "select id, topic, 1, seq, unhex(key, '-'), kind, unhex(content ->> 'hold_id', '-'), at
         from boxoffice_outbox group by id having seq = min(seq)",
    ),
    fact(
        "span",
        "select topic, 1, min(seq),
           (select seq + 1 from source.sqlite_sequence where name = 'boxoffice_outbox_batches'),
           count(*),
           case when min(seq) > 1 then at end
         from boxoffice_outbox group by topic",
    ),
    fact(
        "written",
        "select topic, seq from boxoffice_outbox
         where seq = (select max(seq) from boxoffice_outbox)",
    )
    .open(""),
];

const BOOKINGS: &[Fact] = &[
    fact(
        "booking",
        "select id, reference, account_id, idempotency_key, event_id, status, payment_status,
           json_array_length(places), total_minor, currency, payment_id,
           coalesce(due_at, expires_at), created_at, (due_at is not null or leased or cancelling
             or undo <> '' or status not in ('CONFIRMED', 'CANCELLED', 'FAILED', 'EXPIRED'))
         from bookings",
    )
    .open(
        "where due_at is not null or leased or cancelling or undo <> ''
           or status not in ('CONFIRMED', 'CANCELLED', 'FAILED', 'EXPIRED')",
    ),
    fact("answer", "select account_id, idempotency_key, id, refusal is not null from booking_keys"),
    fact(
        "step",
        "select 'booking', booking_id, version * 1000 + ordinal, from_status, to_status, input, at
         from booking_history",
    ),
    fact("dead_letter", "select booking_id, step || ': ' || last_error from dead_letters").open(""),
];

const TICKETS: &[Fact] = &[
    fact(
        "ticket",
        "select ticket_id, booking_id, hold_id, event_id, section, seat, price_minor, currency,
           status, issued_at from tickets",
    ),
    fact(
        "step",
        "select 'ticket', ticket_id, ordinal, {none}, status, reason, at from ticket_transitions",
    ),
    fact("claim", "select event_id, seat, hold_id, state = 'sold' from claims"),
    fact(
        "hold",
        "select hold_id, event_id, coalesce(section, substr(seats ->> 0, 1,
           {position}(seats ->> 0, '/') - 1)), quantity, status, expires_at, held_at from holds",
    )
    .open("where status = 'held'"),
    fact("held_seat", "select hold_id, {seats of holds} where status = 'held'"),
    fact("section", "select event_id, section, capacity, held, sold from sections"),
    fact(
        "tally",
        "select t.event_id, i.capacity, t.available
         from tallies t join inventories i on i.event_id = t.event_id",
    ),
];

const PAYMENTS: &[Fact] = &[
    fact(
        "payment",
        "select payment_id, booking_id, amount_minor, currency, captured_minor, refunded_minor,
           state, provider_reference, due_at, created_at from payments",
    )
    .open("where state in ('requires_payment', 'processing', 'authorized')"),
    fact(
        "step",
        "select 'payment', payment_id, number, from_state, to_state, cause, at
         from payment_transitions",
    ),
    fact("refund", "select refund_id, payment_id, amount_minor, state, due_at from refunds")
        .open("where state = 'pending'"),
];

const MAILS: &[Fact] = &[
    fact(
        "mail",
        "select mail_id, to_address, template, substr(coalesce(letter, text),
           {position}(coalesce(letter, text), 'BKG'), 15), status, due_at, created_at from mails",
    )
    .open("where status not in ('sent', 'cancelled')"),
    fact("contact", "select account_id, email from contacts"),
];

const EVENTS: &[Fact] = &[
    fact("show", "select id, status, created_at from events"),
    fact(
        "step",
        "select 'event', event_id, version, coalesce(from_status, ''), to_status, '', at
         from event_history where from_status is distinct from to_status",
    ),
];

const ACCOUNTS: &[Fact] = &[fact("account", "select account_id, created_at from accounts")];

const PROFILES: &[Fact] = &[fact("profile", "select account_id from profiles")];

/// The provider's own books. An intent that no card was ever tried on is `untouched`. What an
/// object is may stand in the latest event about it.
pub(crate) const PROVIDER: &[Fact] = &[
    fact(
        "intent",
        "select id, unhex(doc -> 'metadata' ->> 'booking_id', '-'),
           case when doc ->> 'status' = 'requires_payment_method'
             and doc ->> 'latest_charge' is null then 'untouched' else doc ->> 'status' end,
           doc ->> 'amount_received', upper(doc ->> 'currency'), doc ->> 'created' * 1000000
         from (select o.id, coalesce(o.doc, e.subject) as doc from stripe_objects o
           left join stripe_events e on e.id = o.event where o.kind = 'payment_intent')",
    )
    .open("where doc ->> 'status' not in ('succeeded', 'canceled')"),
    fact(
        "back",
        "select id, doc ->> 'payment_intent', doc ->> 'amount', upper(doc ->> 'currency'),
           doc ->> 'status'
         from (select o.id, coalesce(o.doc, e.subject) as doc from stripe_objects o
           left join stripe_events e on e.id = o.event where o.kind = 'refund')",
    ),
    fact("provider_due", "select kind || ' ' || target, due_at from stripe_due").open(""),
];

/// The event log in a file.
pub(crate) const LOG: &[Fact] = &[
    fact("doubled", "select id from bus_log group by id having count(*) > 1"),
    fact(
        "news",
        "select id, topic, 0, seq, unhex(key, '-'), event ->> 'type',
           unhex(event -> 'data' ->> 'hold_id', '-'),
           cast(unixepoch(event ->> 'time', 'subsec') * 1000000 as integer)
         from bus_log where id not in (select id from main.news)
         group by id having seq = min(seq)",
    ),
    fact(
        "span",
        "select t.topic, 0, coalesce(min(l.seq), t.last + 1), t.last + 1, count(l.seq),
           case when coalesce(min(l.seq), t.last + 1) > 1 then coalesce((
             select cast(unixepoch(f.event ->> 'time', 'subsec') * 1000000 as integer)
             from bus_log f where f.topic = t.topic order by f.seq limit 1),
             9223372036854775807) end
         from bus_topics t left join bus_log l on l.topic = t.topic group by t.topic",
    ),
    fact(
        "behind",
        "select o.grp, o.topic, coalesce(t.last, 0) - o.seq
         from bus_offsets o left join bus_topics t on t.topic = o.topic
         where o.topic not like '% outbox'",
    )
    .open(""),
    fact(
        "reached",
        "select grp, replace(topic, ' outbox', ''), seq from bus_offsets
         where topic like '% outbox'",
    )
    .open(""),
    fact("given_up", "select 'a parked event at ' || grp || ': ' || error from bus_parked")
        .open(""),
    fact("given_up", "select 'a dead letter at ' || grp || ': ' || error from bus_dead_letters")
        .open(""),
];

/// The waiting queue in a file.
pub(crate) const QUEUE: &[Fact] = &[
    fact(
        "line",
        "select name, last, serving, (select count(*) from kv_places p where p.line = l.line)
         from kv_lines l",
    )
    .open(""),
    fact(
        "place",
        "select l.name, p.number, p.member from kv_places p join kv_lines l on l.line = p.line",
    ),
    fact(
        "outcome",
        "select l.name, o.number, o.member from kv_outcomes o join kv_lines l on l.line = o.line",
    ),
];
