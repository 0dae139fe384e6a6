//! The audit's own test: one change of a database or of the journal at a time, each of which it has
//! to find.

mod outboxes;
mod told;

use std::{collections::BTreeSet, time::Duration};

use ::audit::{Acknowledged, Report};
use db::{Db, Sql};
use futures_util::{StreamExt, stream};
use platform::Tasks;
use serde_json::json;
use uuid::Uuid;

use self::{
    outboxes::{LOG, UNTOLD},
    told::{give, refuse, retell},
};
use super::{
    audit,
    journal::Entries,
    log,
    stores::{PROVIDER, Servers, Stores},
    words,
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
const EVENTS: &str = "booking_system_event";
const PROFILES: &str = "user_service";
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
             t.used_at, t.used_gate, t.history
           from (select * from tickets where section = 'floor' and status = 'issued' limit 1) t,
             {forty} n"],
        &["over its capacity", "tickets for"],
    ),
    plant(TICKETS, &["delete from claims where state = 'sold'"], &["0 claims as sold"]),
    plant(
        TICKETS,
        &[
            "create table copied as select * from claims",
            "drop table claims",
            "alter table copied rename to claims",
            "insert into claims select * from claims limit 1",
        ],
        &["is claimed 2 times"],
    ),
    plant(
        TICKETS,
        &["insert into claims select event_id, 'stalls/Z/1', hold_id, 'held', {time}
           from claims limit 1"],
        &["seat stalls/Z/1 is claimed 1 times by a hold that has it 0 times"],
    ),
    plant(
        TICKETS,
        &["update tickets set hold_id = {uuid} where seat is not null and ticket_id = (select
             ticket_id from tickets where seat is not null and status = 'issued' limit 1)"],
        &["has 1 tickets, but 0 claims as sold", "has 0 tickets, but 1 claims as sold"],
    ),
    plant(TICKETS, &["update sections set sold = sold - 1 where sold > 0"], &["sold and 0 held"]),
    plant(TICKETS, &["update tallies set available = available + 1"], &["free places;"]),
    plant(
        TICKETS,
        &["update holds set status = 'held', expires_at = {time} where hold_id = (select hold_id
             from holds where status <> 'held' order by hold_id limit 1)"],
        &["is still held, past its time"],
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
        TICKETS,
        &["update tickets set currency = 'USD' where status = 'issued' and price_minor > 0"],
        &["in USD, not EUR"],
    ),
    plant(
        PAYMENTS,
        &["update payments set captured_minor = captured_minor - 1 where state = 'captured'"],
        &["captured and 0 given back of a total of", "there"],
    ),
    plant(PAYMENTS, &["update payments set currency = 'USD'"], &["USD is not of its booking's"]),
    plant(
        PROVIDER,
        &["update stripe_events set subject = json_set(subject, '$.currency', 'usd')
           where kind = 'payment_intent.succeeded'"],
        &["USD taken of a total of", "USD there"],
    ),
    plant(
        PROVIDER,
        &["update stripe_events set subject = json_set(subject, '$.amount_received',
             json_extract(subject, '$.amount_received') - 1)
           where kind = 'payment_intent.succeeded'"],
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
           select 'pi_planted', 'payment_intent', '',
             json_set(subject, '$.id', 'pi_planted', '$.metadata.booking_id', 'nobody')
           from stripe_events where kind = 'payment_intent.succeeded' limit 1"],
        &["of no booking", "of no payment"],
    ),
    plant(
        PROVIDER,
        &["insert into stripe_objects (id, kind, lookup, doc)
           select 'pi_planted', 'payment_intent', '', json_set(subject, '$.id', 'pi_planted',
             '$.status', 'requires_payment_method', '$.latest_charge', null)
           from stripe_events where kind = 'payment_intent.succeeded' limit 1"],
        &["intent (untouched) of no payment"],
    ),
    plant(
        PROVIDER,
        &["update stripe_events set subject = json_set(subject,
             '$.status', 'requires_payment_method', '$.latest_charge', null)
           where kind = 'payment_intent.succeeded'"],
        &["intent is untouched"],
    ),
    plant(
        PROVIDER,
        &["update stripe_events set subject = json_set(subject, '$.status', 'requires_capture')
           where kind = 'payment_intent.succeeded'"],
        &["is requires_capture"],
    ),
    plant(
        PAYMENTS,
        &["update payments set refunded_minor = 1 where state = 'captured'"],
        &["there", "has given back 1, its refunds 0"],
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
        &["is lost", "of no booking", "stands for a booking that is not there"],
    ),
    plant(
        BOOKINGS,
        &["delete from booking_keys where id = (select id from bookings
             order by id desc limit 1)"],
        &["stands for nothing"],
    ),
    plant(
        BOOKINGS,
        &["update booking_keys set event_id = id, choice = '{}', refusal = '{}',
             refused_at = {time}
           where id = (select id from bookings order by id desc limit 1)"],
        &["stands for a refusal"],
    ),
    plant(
        BOOKINGS,
        &["update bookings set (account_id, idempotency_key) = (select account_id,
             idempotency_key from bookings order by id limit 1)
           where id = (select id from bookings order by id desc limit 1)"],
        &["stands for 2 bookings", "stands for another"],
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
        &["unfinished, past its time"],
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
        &["no answer under key planted, past its time"],
    ),
    plant(KV, &["update kv_lines set last = 0"], &["is behind the end of its line"]),
    plant(
        KV,
        &["insert into kv_outcomes select line, 'planted', number, joined_at, outcome, holds_until,
             kept_until from kv_outcomes limit 1"],
        &["was given to 2 members"],
    ),
];

const NEWS: &[Plant] = &[
    plant(
        BOOKINGS,
        &["update bookings set history = (
             select string_agg(',' || cast(value as text), '') from {steps}
             where value ->> 'input' <> 'SEATS_RESERVED')
           where history like '%SEATS_RESERVED%'"],
        &["a gap: from", "events of BKG"],
    ),
    plant(
        BOOKINGS,
        &["update bookings set history = history || history
           where id = (select id from bookings order by id limit 1)"],
        &["is there 2 times", "a gap: from"],
    ),
    plant(
        BOOKINGS,
        &[r#"update bookings set history =
               replace(history, '"to":"RESERVING"', '"to":"CONFIRMED"')"#],
        &["no way from PENDING to CONFIRMED"],
    ),
    plant(
        PAYMENTS,
        &[r#"update payments set history =
               replace(history, '"to":"authorized"', '"to":"refunded"')"#],
        &["no way from requires_payment to refunded"],
    ),
    plant(
        TICKETS,
        &[r#"update tickets set history = history || ',{"ordinal":2,"status":"issued",
               "reason":"planted","actor":"planted","at":1}' where status = 'cancelled'"#],
        &["no way from cancelled to issued", "ends issued, but it is cancelled"],
    ),
    plant(
        TICKETS,
        &["insert into holds (hold_id, event_id, account_id, fingerprint, seats, section, quantity,
             status, expires_at, held_at, ended_at, reason)
           select {uuid}, event_id, account_id, fingerprint, seats, section, quantity, 'released',
             held_at, held_at, held_at, reason from holds order by held_at limit 1"],
        &["events of hold are"],
    ),
    plant(
        EVENTS,
        &["update event_history set to_status = 'ended' where to_status = 'published'"],
        &["no way from draft to ended"],
    ),
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
        MAILS,
        &["delete from mails where mail_id = (select mail_id from mails
             where template = 'booking_confirmed' order by mail_id desc limit 1)"],
        &["0 written, 1 expected"],
    ),
    plant(
        MAILS,
        &["insert into mails select {uuid}, to_address, subject, template, html, text,
             status, attempts, due_at, last_error, created_at, sent_at, letter
           from mails where template = 'booking_refunded' limit 1"],
        &["2 written, 1 expected"],
    ),
    plant(
        MAILS,
        &["update mails set status = 'pending' where template = 'booking_cancelled'"],
        &["a mail is not sent: booking_cancelled"],
    ),
    plant(
        PROFILES,
        &["delete from profiles where account_id =
            (select account_id from profiles order by account_id desc limit 1)"],
        &["account has 0 profiles"],
    ),
    plant(
        MAILS,
        &["delete from contacts where account_id =
            (select account_id from contacts order by account_id desc limit 1)"],
        &["and 0 addresses"],
    ),
];

/// A change of what clients know.
type Untruth = fn(&mut Entries);

/// What clients might have been told, and how the audit words it.
const TOLD: &[(Untruth, &[&str])] = &[
    (
        |entries| {
            let other = Some(Uuid::from_u128(1));
            retell(entries, |told| {
                if let Acknowledged::Booking { booking, .. } = told {
                    *booking = other;
                }
            });
        },
        &["stands for 2 bookings that were acknowledged", "is lost"],
    ),
    (
        |entries| {
            retell(entries, |told| {
                if let Acknowledged::Booking { body, .. } = told {
                    *body ^= 1;
                }
            });
        },
        &["was acknowledged with 2 bodies"],
    ),
    (
        |entries| {
            retell(entries, |told| {
                if let Acknowledged::Booking { total_minor, .. } = told {
                    *total_minor = Some(1);
                }
            });
        },
        &["was shown as it is not"],
    ),
    (
        |entries| {
            retell(entries, |told| {
                if let Acknowledged::Booking { currency, .. } = told {
                    *currency = Some("USD".to_owned());
                }
            });
        },
        &["was shown as it is not"],
    ),
    (
        |entries| {
            retell(entries, refuse);
        },
        &["then 409 PLANTED"],
    ),
    (
        |entries| {
            retell(entries, refuse);
            let refusal = entries.told.pop().unwrap();
            entries.told.insert(0, refusal);
        },
        &["was answered 409 PLANTED, then"],
    ),
    (
        |entries| {
            retell(entries, refuse);
            let refusal = entries.told.pop().unwrap();
            let Acknowledged::Booking { key: refused, .. } = &refusal else { unreachable!() };
            let refused = refused.clone();
            entries.told.retain(
                |told| !matches!(told, Acknowledged::Booking { key, .. } if *key == refused),
            );
            entries.told.push(refusal);
        },
        &["was refused (409 PLANTED), and is CONFIRMED"],
    ),
    (
        |entries| {
            give(entries, |_, number, status, _| {
                *number = 1_000_000;
                "waiting".clone_into(status);
            });
        },
        &["place 1000000 of", "is lost", "is behind the end of its line"],
    ),
    (
        |entries| give(entries, |account, _, _, _| *account = Uuid::from_u128(1)),
        &["was given to 2 accounts"],
    ),
    (
        |entries| {
            for number in [1, 2] {
                give(entries, |account, its, status, _| {
                    *account = Uuid::from_u128(1);
                    *its = number;
                    "waiting".clone_into(status);
                });
            }
        },
        &["has places"],
    ),
    (
        |entries| {
            give(entries, |_, _, status, booking| {
                "completed".clone_into(status);
                *booking = None;
            });
        },
        &["is completed without a booking"],
    ),
    (
        |entries| give(entries, |_, _, _, booking| *booking = Some(Uuid::from_u128(1))),
        &["names a booking that is not its"],
    ),
];

/// What statements are called by on each engine: placeholder, SQLite, PostgreSQL.
const WORDS: [(&str, &str, &str); 6] = [
    ("{uuid}", "randomblob(16)", "gen_random_uuid()"),
    ("{word}", "hex(randomblob(8))", "md5(random()::text)"),
    ("{time}", "1", "to_timestamp(1)"),
    ("{bytes}", "x'00'", "'\\x00'"),
    (
        "{steps}",
        "json_each('[' || substr(history, 2) || ']')",
        "jsonb_array_elements(('[' || substr(history, 2) || ']')::jsonb)",
    ),
    (
        "{forty}",
        "(select key as value from json_each('[' || substr(replace(hex(zeroblob(41)), '00', ',0'),
           2) || ']'))",
        "(select generate_series as value from generate_series(0, 40))",
    ),
];

/// What the audit says of a change, and what it should have said and does not.
type Found = (Report, Vec<String>);

/// Makes each change in a copy of the store that it is for, and has the audit find it. Nobody may
/// be at work. Where all stores are files, no rule may be one that no change breaks.
pub(crate) async fn each_is_found(stores: &Stores, entries: &Entries) {
    let on_servers = matches!(stores, Stores::Servers(_));
    let own = if on_servers { UNTOLD } else { LOG };
    let plants = [SEATS, MONEY, PROMISES, NEWS, own].into_iter().flatten();
    let plants = plants.filter(|plant| !on_servers || ![BUS, KV].contains(&plant.database));
    let found = plants.map(|plant| is_found(plant, stores, entries));
    let mut all: Vec<Found> = stream::iter(found).buffer_unordered(4).collect().await;
    let count = all.len();
    for (change, expected) in TOLD {
        let mut changed = entries.clone();
        change(&mut changed);
        all.push(finds(stores, &changed, expected).await);
    }
    if let Stores::Servers(servers) = stores {
        all.push(in_servers(servers, entries).await);
    }
    let missed: Vec<_> = all.iter().flat_map(|(_, missed)| missed.as_slice()).collect();
    assert!(missed.is_empty(), "{missed:#?}");
    if !on_servers {
        let rules = all[0].0.rules.iter().map(|its| its.rule).collect::<BTreeSet<_>>();
        let broken = all.iter().flat_map(|(report, _)| &report.rules).filter(|its| its.count > 0);
        assert_eq!(broken.map(|its| its.rule).collect::<BTreeSet<_>>(), rules);
    }
    println!("the audit found {count} changes of stores, {} of what was told", TOLD.len());
}

/// What the audit says, which has to be all of `expected`.
async fn finds(stores: &Stores, entries: &Entries, expected: &[&str]) -> Found {
    let report = audit(stores, entries).await;
    let found = words(&report);
    let missed = expected.iter().filter(|its| !found.iter().any(|words| words.contains(**its)));
    let shown = found.iter().take(8).cloned().collect::<Vec<_>>().join("; ");
    let missed = missed.map(|its| format!("{its:?}: only {shown}")).collect();
    (report, missed)
}

async fn is_found(plant: &Plant, stores: &Stores, entries: &Entries) -> Found {
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
    let changed = changed.await;
    db.close().await;
    let mut found = finds(&copy, entries, plant.words).await;
    if !matches!(changed, Ok(1..)) {
        found.1.push(format!("{:?} was not planted: {changed:?}", plant.words));
    }
    found
}

/// The same in the log of the brokers, and in the queue of Redis. It stays there.
async fn in_servers(servers: &Servers, entries: &Entries) -> Found {
    let event = json!({
        "specversion": "1.0", "id": Uuid::from_u128(1), "source": "planted",
        "type": "booking.opened", "time": "2026-01-01T00:00:00Z", "data": {"booking": {}},
    });
    let (brokers, event) = (servers.brokers.clone(), event.to_string());
    let planted = tokio::task::spawn_blocking(move || {
        log::plant(&brokers, "booking-events", &event);
        log::plant(&brokers, "booking-events", "planted");
        log::plant(&brokers, "booking-events.dlq", "planted");
    });
    planted.await.unwrap();
    let tasks = Tasks::new();
    let kv = servers.kv(&tasks).await;
    let place = entries.places.first().expect("a place");
    kv.queue().join(&place.event, "planted", "", 1_000).await.unwrap();
    tasks.stop(Duration::ZERO).await;

    let expected = &[
        "email-worker is 2 events behind in booking-events",
        "realtime is 2 events behind in booking-events",
        "a dead letter in booking-events.dlq: planted",
        "event booking.opened of no booking",
        "what is no event: planted",
        "1 places wait in line",
    ];
    finds(&Stores::Servers(servers.clone()), entries, expected).await
}

/// The statement as each engine knows it.
fn statement(text: &str) -> Sql {
    let put = |texts: (String, String), (from, sqlite, postgres): &(&str, &str, &str)| {
        (texts.0.replace(from, postgres), texts.1.replace(from, sqlite))
    };
    let (postgres, sqlite) = WORDS.iter().fold((text.to_owned(), text.to_owned()), put);
    Sql::split(postgres.leak(), sqlite.leak())
}
