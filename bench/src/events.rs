//! Events from outbox row to consumers' effects: stand-ins of the services write what a booking
//! leads to, their relays hand it to the event log, and the groups that the product has read it.

use std::{sync::Arc, time::Duration};

use clap::ValueEnum;
use db::{Coalescer, CoalescerSettings, Db, Settings};
use hdrhistogram::Histogram;
use infra::Kafka;
use kernel::{Clock, Failure as Fault, MessageId, SystemClock};
use platform::{
    Metrics, Tasks,
    bus::{
        ACCOUNT_EVENTS, BOOKING_EVENTS, Bus, CATALOG_EVENTS, Envelope, Handler, KafkaSettings,
        PAYMENT_EVENTS, TICKET_EVENTS, Urgency,
    },
    inbox,
    outbox::Outbox,
};
use tokio::{sync::mpsc, time::Instant};

use crate::{Bench, Engine, EventsArgs, Failure, facts, processor::Meter};

/// How far the events go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reach {
    /// Rows in the outboxes.
    Outbox,
    /// In the event log.
    Log,
    /// Through all groups.
    Groups,
}

/// How often bookings that are due are written.
const TICK: Duration = Duration::from_millis(5);
/// How many bookings share a transaction: as many as meet in a rush.
const TOGETHER: u32 = 8;
const LIMIT: Duration = Duration::from_secs(120);
const LIMIT_US: u64 = 120_000_000;
const LOOK: Duration = Duration::from_millis(5);
const SOURCES: [(&str, &str); 3] =
    [("booking", BOOKING_EVENTS), ("ticket", TICKET_EVENTS), ("payment", PAYMENT_EVENTS)];

/// A group of the product: its name and urgency, its topics, the kinds it reads, and whether each
/// of them has an effect in its database.
type Group = ((&'static str, Urgency), &'static [&'static str], fn(&str) -> bool, bool);

const GROUPS: [Group; 6] = [
    (("booking", Urgency::Soon), &[PAYMENT_EVENTS], |_| true, true),
    (
        ("realtime", Urgency::Relaxed),
        &[BOOKING_EVENTS, PAYMENT_EVENTS, TICKET_EVENTS],
        |_| true,
        false,
    ),
    (
        ("email", Urgency::Relaxed),
        &[ACCOUNT_EVENTS, BOOKING_EVENTS],
        |kind| kind == "booking.confirmed",
        true,
    ),
    (("event", Urgency::Relaxed), &[TICKET_EVENTS], |_| true, false),
    (("worker", Urgency::Relaxed), &[CATALOG_EVENTS], |_| true, true),
    (("user", Urgency::Relaxed), &[ACCOUNT_EVENTS], |_| true, true),
];

struct Source {
    topic: &'static str,
    db: Db,
    outbox: Outbox,
}

type Inbox = Coalescer<MessageId, (), Fault>;

/// Measures each reach, and prints a table.
pub(crate) async fn run(
    bench: &Bench<'_>,
    (engine, kafka): (Engine, Option<&Kafka>),
    args: EventsArgs,
    meter: Meter,
) -> Result<(), Failure> {
    let log = if kafka.is_some() { "Kafka" } else { "log in the process" };
    println!("### {engine}, {log}: {} bookings of ten events\n", args.bookings);
    println!(
        "| as far as | bookings/s | deliveries | CPU-ms a booking | process | PostgreSQL | Kafka | \
         p50 ms | p99 ms |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    for reach in [Reach::Outbox, Reach::Log, Reach::Groups] {
        if args.reach.is_none_or(|only| only == reach) {
            measure(bench, (engine, kafka), (args, reach), meter).await?;
        }
    }
    Ok(())
}

async fn measure(
    bench: &Bench<'_>,
    (engine, kafka): (Engine, Option<&Kafka>),
    (args, reach): (EventsArgs, Reach),
    meter: Meter,
) -> Result<(), Failure> {
    let (tasks, metrics) = (Tasks::new(), Metrics::new());
    let name = format!("events_{reach:?}").to_lowercase();
    let mut opened = Vec::new();
    let bus = bus(bench, kafka, (&name, &mut opened), &tasks).await?;
    let mut sources = Vec::new();
    for (service, topic) in SOURCES {
        let db = open(bench, engine, &format!("{name}_{service}")).await?;
        opened.push(db.clone());
        let outbox = Outbox::new(topic);
        if reach != Reach::Outbox {
            outbox.relay(db.clone(), bus.clone(), &Metrics::new(), &tasks);
        }
        sources.push(Source { topic, db, outbox });
    }
    let (told, mut lags) = mpsc::channel(1_024);
    if reach == Reach::Groups {
        for ((group, urgency), topics, reads, has_effect) in GROUPS {
            let db = open(bench, engine, &format!("{name}_of_{group}")).await?;
            opened.push(db.clone());
            let inbox = has_effect.then(|| inbox_of(group, db));
            let handler = handler(inbox, reads, told.clone());
            bus.consume((group, urgency), topics, handler, &metrics, &tasks);
        }
    }
    let expected = deliveries(args, reach);
    let counting = async {
        let mut lag_us = Histogram::<u64>::new_with_max(LIMIT_US, 3)?;
        for _ in 0..expected {
            lag_us.saturating_record(lags.recv().await.ok_or("the groups are gone")?);
        }
        Ok::<_, Failure>(lag_us)
    };
    let (before, began) = (meter.read()?, Instant::now());
    let writing = async {
        let each = sources.iter().map(|source| write(source, args));
        futures_util::future::try_join_all(each).await?;
        settle(&sources, reach).await
    };
    let run = async { tokio::try_join!(writing, counting) };
    let ran = tokio::time::timeout(LIMIT, run).await;
    let ((), lag_us) = ran.map_err(|_| "the events don't come to an end")??;
    let took = began.elapsed().as_secs_f64();
    let spent = meter.read()?.since(before);
    let bookings = f64::from(args.bookings);
    println!(
        "| {} | {:.0} | {expected} | **{:.3}** | {:.3} | {:.3} | {:.3} | {:.1} | {:.1} |",
        name.trim_start_matches("events_"),
        bookings / took,
        spent.ours_ms() / bookings,
        spent.own_ms / bookings,
        spent.postgres_ms / bookings,
        spent.kafka_ms / bookings,
        lag_us.value_at_quantile(0.5) as f64 / 1_000.0,
        lag_us.value_at_quantile(0.99) as f64 / 1_000.0,
    );
    if tasks.stop(LIMIT).await > 0 {
        return Err("tasks that don't stop".into());
    }
    for db in opened {
        db.close().await;
    }
    Ok(())
}

/// An event log with nothing in it.
async fn bus(
    bench: &Bench<'_>,
    kafka: Option<&Kafka>,
    (name, opened): (&str, &mut Vec<Db>),
    tasks: &Tasks,
) -> Result<Bus, Failure> {
    let Some(kafka) = kafka else {
        let log = open(bench, Engine::Sqlite, &format!("{name}_log")).await?;
        opened.push(log.clone());
        return Ok(Bus::memory(log, tasks.clone()).await?);
    };
    let mut settings = KafkaSettings::new(kafka.brokers());
    settings.namespace = format!("{name}-");
    Ok(Bus::kafka(&settings, tasks).await?)
}

async fn open(bench: &Bench<'_>, engine: Engine, name: &str) -> Result<Db, Failure> {
    let db = Db::open(&Settings::new(bench.url(engine, name)?)).await?;
    db.migrate(&[&platform::MIGRATIONS]).await?;
    Ok(db)
}

/// Remembers the messages that meet in one transaction, as consumers with effects do.
fn inbox_of(group: &'static str, db: Db) -> Arc<Inbox> {
    let settings = CoalescerSettings { max_batch: 256, max_waiting: 4_096, lanes: 1 };
    Arc::new(Coalescer::new(db, settings, move |tx, ids| {
        Box::pin(async move {
            let news = inbox::first_times(tx, group, ids).await?;
            Ok(news.into_iter().map(|_| Ok(())).collect())
        })
    }))
}

fn handler(inbox: Option<Arc<Inbox>>, reads: fn(&str) -> bool, told: mpsc::Sender<u64>) -> Handler {
    Arc::new(move |delivery| {
        let (inbox, told) = (inbox.clone(), told.clone());
        Box::pin(async move {
            if reads(&delivery.kind) {
                facts::read(&delivery)?;
                if let Some(inbox) = inbox {
                    inbox.call(delivery.id).await?;
                }
            }
            let lag = SystemClock.now().micros() - delivery.at.micros();
            let _over = told.send(u64::try_from(lag).unwrap_or(0)).await;
            Ok(())
        })
    })
}

/// How many deliveries there will be.
fn deliveries(args: EventsArgs, reach: Reach) -> u64 {
    if reach != Reach::Groups {
        return 0;
    }
    let of = |topic: &str| facts::KINDS.iter().filter(|(on, _)| *on == topic).count();
    let a_booking: usize =
        GROUPS.iter().flat_map(|(_, topics, ..)| topics.iter()).map(|topic| of(topic)).sum();
    u64::try_from(a_booking).unwrap_or(0) * u64::from(args.bookings)
}

/// Writes the events of all bookings, at their rate.
async fn write(source: &Source, args: EventsArgs) -> Result<(), Failure> {
    let mut tick = tokio::time::interval(TICK);
    let (began, mut written) = (Instant::now(), 0);
    while written < args.bookings {
        let due = match args.rate {
            0 => args.bookings,
            rate => {
                tick.tick().await;
                (began.elapsed().as_secs_f64() * f64::from(rate)) as u32
            }
        };
        let due = due.min(args.bookings);
        while written < due {
            let until = due.min(written + TOGETHER);
            let events = (written..until).map(|number| facts::events(source.topic, number));
            let events: Vec<Envelope> =
                events.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
            let (outbox, events) = (source.outbox.clone(), Arc::new(events));
            let write = source.db.write(move |tx| {
                let (outbox, events) = (outbox.clone(), events.clone());
                Box::pin(async move { outbox.append(tx, &events).await })
            });
            let written_now: Result<(), db::Error> = write.await;
            written_now?;
            source.outbox.wake();
            written = until;
        }
    }
    Ok(())
}

/// Waits until the relays have handed on all there is. On SQLite there are none: outboxes are logs.
async fn settle(sources: &[Source], reach: Reach) -> Result<(), Failure> {
    const ANY: &str = "select 1 from boxoffice_outbox limit 1";
    if reach == Reach::Outbox {
        return Ok(());
    }
    let mut look = tokio::time::interval(LOOK);
    for source in sources.iter().filter(|source| source.db.engine() == db::Engine::Postgres) {
        loop {
            look.tick().await;
            let read = source.db.read(|tx| Box::pin(async move { tx.query_opt(ANY, &[]).await }));
            let left: Result<_, db::Error> = read.await;
            if left?.is_none() {
                break;
            }
        }
    }
    Ok(())
}
