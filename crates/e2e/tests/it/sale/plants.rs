//! The audit's own test: one change of a database or of the journal at a time, each of which it has
//! to find.

use std::time::Duration;

use db::{Db, Sql};
use futures_util::{StreamExt, stream};
use platform::Tasks;
use serde_json::json;

use super::{
    audit::audit,
    facts::Facts,
    journal::Entries,
    log,
    stores::{PROVIDER, Servers, Stores},
};

/// A change that breaks a rule: in which database, by which statements (see [`WORDS`]), and
/// how the audit words it.
struct Plant {
    database: &'static str,
    statements: &'static [&'static str],
    words: &'static [&'static str],
}

const fn plant(
    database: &'static str,
    statements: &'static [&'static str],
    words: &'static [&'static str],
) -> Plant {
    Plant { database, statements, words }
}

const TICKETS: &str = "booking_system_ticket";
const BOOKINGS: &str = "booking_service";
const PAYMENTS: &str = "payment_db";
const MAILS: &str = "booking_system";
const BUS: &str = "bus";
const KV: &str = "kv";

const SEATS: &[Plant] = &[
    plant(
        TICKETS,
        &[
            "drop index tickets_seat_key",
            "update tickets set (event_id, seat) = (select event_id, seat from tickets
               where seat is not null and status = 'issued' order by ticket_id limit 1)
             where ticket_id = (select ticket_id from tickets
               where seat is not null and status = 'issued' order by ticket_id desc limit 1)",
        ],
        &["was sold 2 times", "claims as sold"],
    ),
    plant(
        TICKETS,
        &["insert into tickets select {uuid}, {word}, t.hold_id, t.booking_id,
             t.booking_reference, 1000 + n.value, t.event_id, t.account_id, t.section, t.seat,
             t.category, t.wheelchair, t.price_minor, t.currency, t.status, t.code, t.issued_at,
             t.used_at, t.used_gate
           from (select * from tickets where section = 'floor' and status = 'issued' limit 1) t,
             {forty} n"],
        &["sold of 40", "tickets for"],
    ),
    plant(TICKETS, &["delete from claims where state = 'sold'"], &["0 claims as sold"]),
    plant(TICKETS, &["update sections set sold = sold - 1 where sold > 0"], &["sold and 0 held"]),
    plant(TICKETS, &["update tallies set available = available + 1"], &["free places;"]),
    plant(
        TICKETS,
        &["update holds set status = 'held' where hold_id = (select hold_id from holds
             where status <> 'held' order by hold_id limit 1)"],
        &["is still held"],
    ),
];

const MONEY: &[Plant] = &[
    plant(
        TICKETS,
        &["update tickets set status = 'cancelled' where ticket_id = (select ticket_id
             from tickets where status = 'issued' and price_minor > 0 order by ticket_id limit 1)"],
        &["tickets for", "its tickets cost"],
    ),
    plant(
        PROVIDER,
        &["update stripe_objects set doc = json_set(doc, '$.amount_received',
             json_extract(doc, '$.amount_received') - 1)
           where kind = 'payment_intent' and doc like '%succeeded%'"],
        &["taken of a total of", "there"],
    ),
    plant(
        PROVIDER,
        &["delete from stripe_objects where kind = 'refund'"],
        &["taken of a total of 0"],
    ),
    plant(
        PROVIDER,
        &["insert into stripe_objects (id, kind, lookup, doc)
           select 'pi_planted', kind, lookup,
             json_set(doc, '$.id', 'pi_planted', '$.metadata.booking_id', 'nobody')
           from stripe_objects where kind = 'payment_intent' limit 1"],
        &["of no booking", "of no payment"],
    ),
    plant(
        PROVIDER,
        &["update stripe_objects set doc = json_set(doc, '$.status', 'requires_capture')
           where kind = 'payment_intent'"],
        &["is requires_capture"],
    ),
    plant(
        PAYMENTS,
        &["update payments set refunded_minor = 1 where state = 'captured'"],
        &["there"],
    ),
    plant(
        PAYMENTS,
        &["update payments set state = 'authorized' where state = 'captured'"],
        &["is authorized"],
    ),
    plant(PAYMENTS, &["update refunds set state = 'pending'"], &["a refund that is pending"]),
    plant(
        BOOKINGS,
        &["update bookings set payment_status = 'AUTHORIZED' where status = 'CONFIRMED'"],
        &["payment is AUTHORIZED"],
    ),
    plant(
        PROVIDER,
        &["insert into stripe_due (due_at, kind, target, attempts) values (1, 'webhook', 'x', 0)"],
        &["has yet to do: webhook x"],
    ),
];

const PROMISES: &[Plant] = &[
    plant(
        BOOKINGS,
        &["delete from bookings where id = (select id from bookings
             where status = 'CONFIRMED' order by id desc limit 1)"],
        &["is lost", "of no booking"],
    ),
    plant(
        BOOKINGS,
        &[
            "create table copied as select * from bookings",
            "drop table bookings",
            "alter table copied rename to bookings",
            "update bookings set (account_id, idempotency_key) = (select account_id,
               idempotency_key from bookings order by id limit 1)
             where id = (select id from bookings order by id desc limit 1)",
        ],
        &["stands for 2 bookings"],
    ),
    plant(
        BOOKINGS,
        &["update bookings set status = 'CONFIRMED' where status = 'CANCELLED'"],
        &["was shown as it is not", "tickets for", "ends CANCELLED, but it is CONFIRMED"],
    ),
    plant(
        BOOKINGS,
        &["update bookings set status = 'CONFIRMED' where status = 'FAILED'"],
        &["was refused"],
    ),
    plant(
        BOOKINGS,
        &["update bookings set due_at = {time} where id = (select id from bookings
               order by id desc limit 1)"],
        &["unfinished"],
    ),
    plant(
        BOOKINGS,
        &["insert into dead_letters (booking_id, step, attempts, last_error, since)
           values ({uuid}, 'release_hold', 1, 'x', {time})"],
        &["booking's dead letter release_hold"],
    ),
    plant(
        PAYMENTS,
        &["insert into boxoffice_idempotency (scope, key, fingerprint, answer, at)
           values ('x', 'planted', {bytes}, null, {time})"],
        &["no answer under key planted"],
    ),
    plant(KV, &["update kv_lines set last = 0"], &["is behind the end of its line"]),
];

const NEWS: &[Plant] = &[
    plant(
        BOOKINGS,
        &["delete from booking_history where input = 'SEATS_RESERVED'"],
        &["a gap: from", "events of BKG"],
    ),
    plant(
        BOOKINGS,
        &["update booking_history set to_status = 'CONFIRMED' where input = 'RESERVE_SEATS'"],
        &["no way from PENDING to CONFIRMED"],
    ),
    plant(
        BUS,
        &["delete from bus_log where id = (select max(id) from bus_log
             where topic = 'booking-events' and event like '%\"booking.confirmed\"%')"],
        &["the log of booking-events has a hole", "events of BKG", "1 written, 0 expected"],
    ),
    plant(
        BUS,
        &["delete from bus_log where event like '%\"seats.sold\"%'"],
        &["the log of ticket-events has a hole", "events of hold"],
    ),
    plant(
        BUS,
        &["delete from bus_log where event like '%\"payment.captured\"%'"],
        &["was told 0 times"],
    ),
    plant(
        BUS,
        &[
            "create table copied as select * from bus_log",
            "drop table bus_log",
            "alter table copied rename to bus_log",
            "insert into bus_log select * from bus_log
             where topic = 'booking-events' and seq = 1",
        ],
        &["is in the log twice", "has a hole", "events of BKG"],
    ),
    plant(BUS, &["update bus_offsets set seq = seq - 1 where seq > 0"], &["email-worker is at"]),
    plant(
        BUS,
        &["insert into bus_parked (grp, topic, id, key, event, attempts, faults, error)
           values ('email-worker', 'x', {uuid}, 'x', '{}', 1, 1, 'planted')"],
        &["a parked event at email-worker: planted"],
    ),
    plant(
        BUS,
        &["insert into bus_dead_letters (grp, topic, id, key, event, attempts, error)
           values ('booking', 'x', {uuid}, 'x', '{}', 1, 'planted')"],
        &["a dead letter at booking: planted"],
    ),
    plant(
        BOOKINGS,
        &["insert into boxoffice_outbox (id, topic, key, kind, source, at, correlation_id, content)
           values ({uuid}, 'x', 'x', 'planted', 'x', {time}, 'x', '{}')"],
        &["in the outbox: planted of x"],
    ),
    plant(
        MAILS,
        &["delete from mails where mail_id = (select mail_id from mails
             where template = 'booking_confirmed' order by mail_id desc limit 1)"],
        &["0 written, 1 expected"],
    ),
    plant(
        MAILS,
        &["insert into mails select {uuid}, to_address, subject, template, html, text,
             status, attempts, due_at, last_error, created_at, sent_at
           from mails where template = 'booking_refunded' limit 1"],
        &["2 written, 1 expected"],
    ),
    plant(
        MAILS,
        &["update mails set status = 'pending' where template = 'booking_cancelled'"],
        &["a mail is not sent: booking_cancelled"],
    ),
];

/// A change of what clients know.
type Untruth = fn(&mut Entries);

/// What clients might know, and how the audit words it.
const TOLD: &[(Untruth, &str)] = &[
    (|entries| entries.wishes[0].answer = None, "is stuck: never answered"),
    (|entries| entries.contradictions.push("planted".to_owned()), "planted"),
    (|entries| entries.places[0].end.clear(), "is lost"),
    (
        |entries| {
            let mut other = entries.places[0].clone();
            other.account = "somebody else".to_owned();
            entries.places.push(other);
        },
        "was given to 2 accounts",
    ),
    (
        |entries| {
            let mut second = entries.places[0].clone();
            second.number += 1_000;
            entries.places.push(second);
        },
        "2 places in",
    ),
    (
        |entries| entries.places[0].booking = Some("planted".to_owned()),
        "names booking planted, which is not its",
    ),
];

/// What statements are called by on each engine: placeholder, SQLite, PostgreSQL.
const WORDS: [(&str, &str, &str); 5] = [
    ("{uuid}", "randomblob(16)", "gen_random_uuid()"),
    ("{word}", "hex(randomblob(8))", "md5(random()::text)"),
    ("{time}", "1", "now()"),
    ("{bytes}", "x'00'", "'\\x00'"),
    (
        "{forty}",
        "(select key as value from json_each('[' || substr(replace(hex(zeroblob(41)), '00', ',0'),
           2) || ']'))",
        "(select generate_series as value from generate_series(0, 40))",
    ),
];

/// Makes each change in a copy of the store that it is for, and has the audit find it. Nobody may
/// be at work.
pub(crate) async fn each_is_found(stores: &Stores, entries: &Entries) {
    let facts = Facts::read(stores).await;
    let on_servers = matches!(stores, Stores::Servers(_));
    let plants = [SEATS, MONEY, PROMISES, NEWS].into_iter().flatten();
    let plants = plants.filter(|plant| !on_servers || ![BUS, KV].contains(&plant.database));
    let found = plants.map(|plant| is_found(plant, stores, (&facts, entries)));
    let count = stream::iter(found).buffer_unordered(4).count().await;

    for (change, words) in TOLD {
        let mut changed = entries.clone();
        change(&mut changed);
        let found = audit(&facts, &changed);
        assert!(found.iter().any(|its| its.contains(words)), "{words:?}: only {found:?}");
    }
    if let Stores::Servers(servers) = stores {
        in_servers(servers, (&facts, entries)).await;
    }
    println!("the audit found {count} changes of stores, {} of what was told", TOLD.len());
}

async fn is_found(plant: &Plant, stores: &Stores, (facts, entries): (&Facts, &Entries)) {
    let directory = tempfile::tempdir().unwrap();
    let copy = stores.with_copy(plant.database, directory.path()).await;
    let db = Db::open(&copy.settings(plant.database)).await.unwrap();
    let statements = plant.statements;
    let changed = db.write(move |tx| {
        Box::pin(async move {
            let mut changed = 0;
            for text in statements {
                changed = tx.execute(statement(text), &[]).await?;
            }
            Ok::<_, db::Error>(changed)
        })
    });
    let changed = changed.await.unwrap_or_else(|error| panic!("{:?}: {error}", plant.words));
    assert!(changed > 0, "nothing was there to change for {:?}", plant.words);
    db.close().await;
    let found = audit(&facts.read_again(&copy, plant.database).await, entries);
    for words in plant.words {
        let shown = found.iter().take(20).collect::<Vec<_>>();
        assert!(found.iter().any(|its| its.contains(words)), "{words:?}: only {shown:?}");
    }
}

/// The same in the log of the brokers, and in the queue of Redis. It stays there.
async fn in_servers(servers: &Servers, (facts, entries): (&Facts, &Entries)) {
    let event = json!({
        "specversion": "1.0", "id": "planted", "source": "planted", "type": "booking.opened",
        "data": {"booking": {}},
    });
    let (brokers, event) = (servers.brokers.clone(), event.to_string());
    let planted = tokio::task::spawn_blocking(move || {
        log::plant(&brokers, "booking-events", &event);
        log::plant(&brokers, "booking-events.dlq", "planted");
    });
    planted.await.unwrap();
    let tasks = Tasks::new();
    let kv = servers.kv(&tasks).await;
    let (line, ..) = facts.lines.first().expect("a line");
    kv.queue().join(line, "planted", "", 1_000).await.unwrap();
    tasks.stop(Duration::ZERO).await;

    let found = audit(&Facts::read(&Stores::Servers(servers.clone())).await, entries);
    for words in [
        "email-worker is at",
        "realtime is at",
        "a dead letter in booking-events.dlq: planted",
        "waits in",
    ] {
        assert!(found.iter().any(|its| its.contains(words)), "{words:?}: only {found:?}");
    }
}

/// The statement as each engine knows it.
fn statement(text: &str) -> Sql {
    let put = |texts: (String, String), (from, sqlite, postgres): &(&str, &str, &str)| {
        (texts.0.replace(from, postgres), texts.1.replace(from, sqlite))
    };
    let (postgres, sqlite) = WORDS.iter().fold((text.to_owned(), text.to_owned()), put);
    Sql::split(postgres.leak(), sqlite.leak())
}
