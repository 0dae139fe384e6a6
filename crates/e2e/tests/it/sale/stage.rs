//! What is set up before the load: buyers, and small events that sell out.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use kernel::{Clock, SystemClock};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::web::{Call, Web};

const BUYERS: usize = 24;
/// Halls that sell at once, and halls with a queue before them.
const HALLS: usize = 8;
const QUEUES: usize = 4;
/// How long a mail may take.
const MAIL: Duration = Duration::from_secs(30);

pub(crate) const ROWS: [&str; 6] = ["A", "B", "C", "D", "E", "F"];
pub(crate) const SEATS_A_ROW: u64 = 10;

/// Somebody who buys.
#[derive(Debug, Clone)]
pub(crate) struct Buyer {
    pub(crate) account: String,
    pub(crate) token: String,
}

/// Who and what there is.
pub(crate) struct Stage {
    pub(crate) buyers: Vec<Buyer>,
    pub(crate) halls: Vec<String>,
    pub(crate) queues: Vec<String>,
}

/// Passwords of the demo accounts by address.
type Passwords = BTreeMap<String, String>;

/// Sets everything up on a platform that has just been started for the first time.
pub(crate) async fn set(web: &Arc<Web>, passwords: &Passwords) -> Stage {
    let operator = log_in(web, passwords, "operator@boxoffice.example").await;
    let sign_ups = (0..BUYERS).map(|number| sign_up(web, &operator, number));
    let buyers = stream::iter(sign_ups).buffered(8).collect().await;
    let theatre = log_in(web, passwords, "theatre@boxoffice.example").await;
    let venue = web.expect(&Call::post("/api/v1/venues", &venue()).by(&theatre), 201).await;
    let venue = text(&venue, "venue_id");
    let mut stage = Stage { buyers, halls: Vec::new(), queues: Vec::new() };
    for number in 0..HALLS {
        stage.halls.push(event(web, &theatre, &venue, (number, None)).await);
    }
    let queue = json!({"enabled": true, "admissions_per_minute": 240, "admission_ttl_seconds": 60});
    for number in 0..QUEUES {
        stage.queues.push(event(web, &theatre, &venue, (number, Some(&queue))).await);
    }
    for queue in &stage.queues {
        await_queue(web, queue).await;
    }
    stage
}

async fn log_in(web: &Web, passwords: &Passwords, email: &str) -> String {
    let login = json!({"email": email, "password": passwords[email]});
    let tokens = web.expect(&Call::post("/api/v1/auth/login", &login), 200).await;
    text(&tokens, "access_token")
}

fn text(value: &Value, key: &str) -> String {
    let found = value[key].as_str();
    found.unwrap_or_else(|| panic!("no {key} in {value}")).to_owned()
}

async fn sign_up(web: &Web, operator: &str, number: usize) -> Buyer {
    let email = format!("buyer{number}@buyers.example");
    let password = "Correct-horse-9";
    let registration = json!({
        "email": email, "password": password, "first_name": "Bo", "last_name": "Buyer",
    });
    let registered = Call::post("/api/v1/auth/register", &registration);
    let account = text(&web.expect(&registered, 201).await, "account_id");
    let pin = pin(web, operator, &email).await;
    let proof = Call::post("/api/v1/auth/verify-email", &json!({"email": email, "pin": pin}));
    web.expect(&proof, 200).await;
    let login = Call::post("/api/v1/auth/login", &json!({"email": email, "password": password}));
    let token = text(&web.expect(&login, 200).await, "access_token");
    Buyer { account, token }
}

async fn pin(web: &Web, operator: &str, email: &str) -> String {
    let list = Call::get(format!("/api/v1/admin/mails?to={email}")).by(operator);
    let give_up = Instant::now() + MAIL;
    loop {
        let mails = web.expect(&list, 200).await;
        if let Some(mail) = mails["items"].as_array().and_then(|mails| mails.first()) {
            let path = format!("/api/v1/admin/mails/{}", text(mail, "mail_id"));
            let mail = text(&web.expect(&Call::get(path).by(operator), 200).await, "text");
            let mut words = mail.split(|c: char| !c.is_ascii_digit());
            return words.find(|word| word.len() == 6).expect("a pin").to_owned();
        }
        assert!(Instant::now() < give_up, "no mail to {email}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the queue's keeper has heard of the event.
async fn await_queue(web: &Web, event: &str) {
    let look = Call::get(format!("/api/v1/events/{event}/queue"));
    let give_up = Instant::now() + MAIL;
    loop {
        match web.insist(&look).await {
            Some((200, queue)) if queue["enabled"] != false => return,
            seen => assert!(Instant::now() < give_up, "no queue for {event}: {seen:?}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Sixty seats in two price categories, standing room for forty, and thirty free places.
fn venue() -> Value {
    let rows: Vec<_> = ROWS
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let category = if at < 2 { "first" } else { "second" };
            json!({"name": name, "first_number": 1, "seats": SEATS_A_ROW, "category": category})
        })
        .collect();
    let admission = |key: &str, capacity: u32| {
        json!({
            "key": key, "name": key, "kind": "admission", "category": key, "capacity": capacity,
        })
    };
    let stalls = json!({
        "key": "stalls", "name": "Stalls", "kind": "seated", "category": "second", "rows": rows,
    });
    json!({
        "name": "Chapel", "address": "3 Harbour Street", "city": "Hamburg", "country": "DE",
        "time_zone": "Europe/Berlin",
        "plan": {"sections": [stalls, admission("floor", 40), admission("foyer", 30)]},
    })
}

/// Makes an event and puts it on sale; answers its id.
async fn event(
    web: &Web,
    theatre: &str,
    venue: &str,
    (number, queue): (usize, Option<&Value>),
) -> String {
    let day = Duration::from_secs(24 * 3_600);
    let starts_at = SystemClock.now().plus(30 * day);
    let category = |key: &str, minor: i64| json!({"key": key, "name": key, "price_minor": minor});
    let mut event = json!({
        "venue_id": venue, "name": format!("Recital {number}"), "kind": "concert",
        "description": "Strings.", "currency": "EUR", "max_per_booking": 6,
        "starts_at": starts_at.to_string(), "ends_at": starts_at.plus(day).to_string(),
        "categories": [
            category("first", 2_450), category("second", 1_299), category("floor", 750),
            category("foyer", 0),
        ],
    });
    if let Some(queue) = queue {
        event["queue"] = queue.clone();
    }
    let made = web.expect(&Call::post("/api/v1/events", &event).by(theatre), 201).await;
    let id = text(&made, "event_id");
    let publish = Call::post(format!("/api/v1/events/{id}/publish"), &json!({})).by(theatre);
    web.expect(&publish, 200).await;
    id
}
