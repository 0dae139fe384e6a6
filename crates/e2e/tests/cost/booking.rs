//! What a booking costs in what noise can't move: statements, commits, bytes of PostgreSQL's
//! write-ahead log, allocations. The limits are a little above what was counted; whoever lowers a
//! count lowers its limit, and whoever raises one says why.

use std::{alloc::System as Heap, time::Duration};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use crate::system::{System, Web};

/// Counts the allocations of the platform and of those who call it, as both are in this process.
#[global_allocator]
static HEAP: &StatsAlloc<Heap> = &INSTRUMENTED_SYSTEM;

/// Services with a database, each with a face that tells its metrics.
const SERVICES: [&str; 7] =
    ["auth", "user", "event", "ticket", "booking", "payment", "email-worker"];
const ALONE: u64 = 40;
const TOGETHER: u64 = 200;
/// Buyers at the same time, where bookings meet.
const AT_ONCE: usize = 20;
/// A sale in which nothing but bookings costs anything: whoever looks regularly looks seldom.
const QUIET: [(&str, &str); 3] = [
    ("booking.resume_period_ms", "60000"),
    ("ticket.expiry_period_ms", "60000"),
    ("payment.due_period_ms", "60000"),
];
/// How soon a buyer looks whether a booking is confirmed; twice as long each time, as looks cost
/// something, too, and on a busy machine there must not be many more of them.
const FIRST_LOOK: Duration = Duration::from_millis(20);
/// So many looks take more than a minute.
const LOOKS: u32 = 12;
/// The most rounds of which the least counts.
const ROUNDS: u32 = 3;
const REST: Duration = Duration::from_millis(500);

/// What was counted so far, or what a booking costs.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    statements: u64,
    commits: u64,
    wal_bytes: u64,
    allocations: u64,
}

impl Cost {
    async fn so_far(system: &System) -> Self {
        let mut cost = Self::default();
        for service in SERVICES {
            let addresses = system.running.addresses(service);
            let face = addresses.metrics.or(addresses.http).unwrap();
            let text = reqwest::get(format!("http://{face}/metrics")).await.unwrap();
            let text = text.text().await.unwrap();
            let count = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
                line.unwrap_or_else(|| panic!("{service} has no {name}")).parse::<u64>().unwrap()
            };
            cost.statements += count("db_statements_total");
            cost.commits += count("db_commits_total");
        }
        cost.wal_bytes = wal_bytes(system).await;
        let heap = HEAP.stats();
        cost.allocations = (heap.allocations + heap.reallocations) as u64;
        cost
    }

    /// The cost once nothing is under way any more.
    async fn at_rest(system: &System) -> Self {
        let mut before = Self::so_far(system).await;
        for _ in 0..100 {
            tokio::time::sleep(REST).await;
            let now = Self::so_far(system).await;
            if now.commits == before.commits {
                return now;
            }
            before = now;
        }
        panic!("the platform does not come to rest");
    }

    /// What each of `bookings` cost since `before`.
    fn each(self, before: Self, bookings: u64) -> Self {
        let each = |now: u64, before: u64| (now - before).div_ceil(bookings);
        Self {
            statements: each(self.statements, before.statements),
            commits: each(self.commits, before.commits),
            wal_bytes: each(self.wal_bytes, before.wal_bytes),
            allocations: each(self.allocations, before.allocations),
        }
    }

    fn is_within(self, most: Self) -> bool {
        self.statements <= most.statements
            && self.commits <= most.commits
            && self.wal_bytes <= most.wal_bytes
            && self.allocations <= most.allocations
    }

    /// The less of each.
    fn least(self, other: Self) -> Self {
        Self {
            statements: self.statements.min(other.statements),
            commits: self.commits.min(other.commits),
            wal_bytes: self.wal_bytes.min(other.wal_bytes),
            allocations: self.allocations.min(other.allocations),
        }
    }
}

/// How far the write-ahead log of the platform's PostgreSQL server is.
async fn wal_bytes(system: &System) -> u64 {
    const FAR: &str = "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint";
    let url = format!("{}/postgres", system.postgres.as_ref().unwrap().server_url());
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let asked = async move { client.query_one(FAR, &[]).await };
    let (row, ended) = tokio::join!(asked, connection);
    ended.unwrap();
    row.unwrap().get::<_, i64>(0) as u64
}

/// A buyer, an event with room for all, and who talks to the provider.
struct Stage {
    buyer: Web,
    event: String,
    card: reqwest::Client,
}

async fn stage(system: &System) -> Stage {
    let events = system.visitor().get("/api/v1/events?limit=100").await.expect(200);
    let events = events["items"].as_array().unwrap();
    let event = events.iter().find(|event| event["name"].as_str().unwrap().contains("Lantern"));
    Stage {
        buyer: system.person("buyer").await,
        event: event.unwrap()["event_id"].as_str().unwrap().to_owned(),
        card: reqwest::Client::new(),
    }
}

/// Books, pays and waits until it is confirmed.
async fn book(system: &System, stage: &Stage, key: &str) {
    let Stage { buyer, event, card } = stage;
    let choice = json!({"admissions": {"section": "weekend", "quantity": 1}});
    let wish = json!({"event_id": event, "choice": choice});
    let booking = buyer.post_once("/api/v1/bookings", key, &wish).await.expect(201);
    let settings = system.visitor().get("/api/v1/settings").await.expect(200);
    let payment = &settings["payment"];
    let secret = booking["client_secret"].as_str().unwrap();
    let intent = secret.split("_secret_").next().unwrap();
    let provider = payment["api_base"].as_str().unwrap();
    let form = [
        ("key", payment["publishable_key"].as_str().unwrap()),
        ("client_secret", secret),
        ("payment_method", "pm_card_visa"),
    ];
    let address = format!("{provider}/v1/payment_intents/{intent}/confirm");
    let paid = card.post(address).form(&form).send().await.unwrap();
    assert_eq!(paid.status(), 200);
    let path = format!("/api/v1/bookings/{}", booking["booking_id"].as_str().unwrap());
    for look in 0..LOOKS {
        let booking: Value = buyer.get(&path).await.expect(200);
        if booking["status"] == "confirmed" {
            return;
        }
        tokio::time::sleep(FIRST_LOOK * 2_u32.pow(look)).await;
    }
    panic!("{path} is not confirmed");
}

/// What each of so many bookings costs, `at_once` at a time, under keys of this round.
async fn measured(
    system: &System,
    stage: &Stage,
    (bookings, at_once): (u64, usize),
    round: u32,
) -> Cost {
    let before = Cost::at_rest(system).await;
    let all = (0..bookings).map(|number| async move {
        book(system, stage, &format!("{at_once}-{round}-{number}")).await;
    });
    stream::iter(all).buffer_unordered(at_once).for_each(|()| async {}).await;
    Cost::at_rest(system).await.each(before, bookings)
}

/// As [`measured`], held against its limits. On a busy machine a booking takes longer, and what
/// happens by the clock costs meanwhile, never less: so the least of a few rounds counts.
async fn held_to(system: &System, most: Cost, bookings: u64, at_once: usize) -> Cost {
    let stage = stage(system).await;
    let mut least = measured(system, &stage, (bookings, at_once), 0).await;
    for round in 1.. {
        println!("{at_once} at once, a booking after {round} rounds: {least:?}");
        if least.is_within(most) {
            break;
        }
        assert!(round < ROUNDS, "{at_once} at once: a booking costs {least:?}, at most {most:?}");
        least = least.least(measured(system, &stage, (bookings, at_once), round).await);
    }
    least
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_costs_no_more_than_it_did() {
    let system = System::start_on_postgres(&QUIET).await;
    let most = Cost { statements: 95, commits: 32, wal_bytes: 44_000, allocations: 18_000 };
    let alone = held_to(&system, most, ALONE, 1).await;
    let most = Cost { statements: 48, commits: 15, wal_bytes: 42_000, allocations: 14_000 };
    let together = held_to(&system, most, TOGETHER, AT_ONCE).await;
    system.running.stop().await;
    let shared = together.commits < alone.commits && together.statements < alone.statements;
    assert!(shared, "bookings that meet share nothing: {together:?}, alone {alone:?}");
}
