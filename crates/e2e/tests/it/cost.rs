//! What a booking costs in what noise can't move: statements, commits, and bytes of PostgreSQL's
//! write-ahead log. The limits are a little above what was counted; whoever lowers a count lowers
//! its limit, and whoever raises one says why.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::system::{System, Web};

/// Services with a database, each with a face that tells its metrics.
const SERVICES: [&str; 7] =
    ["auth", "user", "event", "ticket", "booking", "payment", "email-worker"];
const BOOKINGS: u64 = 40;
/// Buyers at the same time, where bookings meet.
const AT_ONCE: usize = 20;
/// A sale in which nothing but bookings costs anything: whoever looks regularly looks seldom.
const QUIET: [(&str, &str); 3] = [
    ("booking.resume_period_ms", "60000"),
    ("ticket.expiry_period_ms", "60000"),
    ("payment.due_period_ms", "60000"),
];

/// Statements and commits so far, by service.
type Counts = BTreeMap<&'static str, (u64, u64)>;

/// The most a booking may cost: statements and commits of all services.
struct Limits {
    statements: u64,
    commits: u64,
}

async fn counts(system: &System) -> Counts {
    let mut counts = Counts::new();
    for service in SERVICES {
        let addresses = system.running.addresses(service);
        let face = addresses.metrics.or(addresses.http).unwrap();
        let text = reqwest::get(format!("http://{face}/metrics")).await.unwrap();
        let text = text.text().await.unwrap();
        let count = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{service} has no {name}")).parse::<u64>().unwrap()
        };
        counts.insert(service, (count("db_statements_total"), count("db_commits_total")));
    }
    counts
}

/// The counts once nothing is under way any more.
async fn settled(system: &System) -> Counts {
    let mut before = counts(system).await;
    for _ in 0..200 {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let now = counts(system).await;
        // A look at the outbox every now and then is all that goes on.
        let moved = now.iter().any(|(service, now)| now.1 != before[service].1);
        before = now;
        if !moved {
            return before;
        }
    }
    panic!("the platform does not come to rest");
}

/// An event with room for all, and a buyer's client.
async fn stage(system: &System) -> (Web, String) {
    let events = system.visitor().get("/api/v1/events?limit=100").await.expect(200);
    let events = events["items"].as_array().unwrap();
    let event = events.iter().find(|event| event["name"].as_str().unwrap().contains("Lantern"));
    (system.person("buyer").await, event.unwrap()["event_id"].as_str().unwrap().to_owned())
}

/// Books, pays and waits until it is confirmed.
async fn book(system: &System, (buyer, event): &(Web, String), number: u64) {
    let choice = json!({"admissions": {"section": "weekend", "quantity": 1}});
    let wish = json!({"event_id": event, "choice": choice});
    let key = format!("cost-{number}");
    let booking = buyer.post_once("/api/v1/bookings", &key, &wish).await.expect(201);
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
    let paid = reqwest::Client::new().post(address).form(&form).send().await.unwrap();
    assert_eq!(paid.status(), 200);
    let path = format!("/api/v1/bookings/{}", booking["booking_id"].as_str().unwrap());
    for _ in 0..1_000 {
        let booking: Value = buyer.get(&path).await.expect(200);
        if booking["status"] == "confirmed" {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{path} is not confirmed");
}

/// What all bookings cost on `system`, one after another or at once, each as the average.
async fn measured(system: &System, numbers: std::ops::Range<u64>, at_once: usize) -> Limits {
    use futures_util::{StreamExt, stream};
    let stage = stage(system).await;
    let before = settled(system).await;
    let amount = numbers.end - numbers.start;
    let bookings = numbers.map(|number| book(system, &stage, number));
    stream::iter(bookings).buffer_unordered(at_once).for_each(|()| async {}).await;
    let after = settled(system).await;
    let mut sum = (0, 0);
    for (service, after) in &after {
        let before = before[service];
        let spent = (after.0 - before.0, after.1 - before.1);
        let each = |count: u64| count as f64 / amount as f64;
        println!(
            "{service}: {:.1} statements, {:.1} commits a booking",
            each(spent.0),
            each(spent.1)
        );
        sum = (sum.0 + spent.0, sum.1 + spent.1);
    }
    Limits { statements: sum.0.div_ceil(amount), commits: sum.1.div_ceil(amount) }
}

fn check(what: &str, found: &Limits, limits: &Limits) {
    let Limits { statements, commits } = *found;
    println!("{what}: {statements} statements and {commits} commits a booking");
    assert!(statements <= limits.statements, "{what}: {statements} statements a booking");
    assert!(commits <= limits.commits, "{what}: {commits} commits a booking");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_costs_no_more_than_it_did() {
    let system = System::start_on_postgres(&QUIET).await;
    let alone = measured(&system, 0..BOOKINGS, 1).await;
    check("one after another", &alone, &Limits { statements: 1_000, commits: 1_000 });
    let together = measured(&system, BOOKINGS..5 * BOOKINGS, AT_ONCE).await;
    check("twenty at once", &together, &Limits { statements: 1_000, commits: 1_000 });
    assert!(2 * together.commits < alone.commits, "bookings that meet don't share commits");
    system.running.stop().await;
}
