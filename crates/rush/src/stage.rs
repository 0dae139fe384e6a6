//! What is set up before the doors open, all of it through the public interface: a hall on sale,
//! and accounts that have proved their address.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::HeaderValue;
use kernel::{Clock, SystemClock};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    Scenario,
    http::{Answer, Call, Http, Lost, bearer, escaped},
};

/// An account that buys.
#[derive(Debug)]
pub struct Account {
    /// Its id.
    pub id: String,
    login: Bytes,
    bearer: Mutex<HeaderValue>,
}

/// The event that is sold, and who sells it.
#[derive(Debug)]
pub struct Sale {
    /// What is sold.
    pub event_id: String,
    /// The names of all its seats.
    pub seats: Vec<String>,
    /// Signs in whoever sells it.
    pub organizer: HeaderValue,
    /// Signs in whoever runs the platform.
    pub operator: HeaderValue,
}

/// Where else to go.
pub struct Directions {
    /// realtime-service's socket.
    pub realtime: String,
    /// The payment provider, `http://host:port`.
    pub provider: String,
    /// With what browsers call the provider.
    pub publishable_key: String,
}

/// How many sign up at once: hashing passwords is most of the work.
const SIGN_UPS_AT_ONCE: usize = 32;
const MAIL_PATIENCE: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(25);
/// How often one that is told to come later does.
const PUT_OFFS: u32 = 120;
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// As many rows as a hall may have; in a larger one they are longer.
const MOST_ROWS: u32 = 2_000;
const SEATS_A_ROW: u32 = 50;
const ROWS_A_SECTION: u32 = 40;
const PASSWORD: &str = "Correct-horse-battery-9";

impl Account {
    /// The header that signs it in.
    #[must_use]
    pub fn bearer(&self) -> HeaderValue {
        self.bearer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Signs in again, for a token that has grown old.
    pub(crate) async fn renew(&self, gateway: &Http) -> Result<(), Lost> {
        let call = Call::post("/api/v1/auth/login", self.login.clone())?;
        let tokens = expect(gateway, &call, 200).await?;
        let fresh = bearer(text(&tokens, "access_token")?)?;
        *self.bearer.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

/// Where the platform's other doors are.
///
/// # Errors
/// If it doesn't say.
pub async fn directions(gateway: &Http) -> Result<Directions, Lost> {
    let settings = expect(gateway, &Call::get("/api/v1/settings")?, 200).await?;
    let payment = settings.get("payment").cloned().unwrap_or_default();
    Ok(Directions {
        realtime: text(&settings, "realtime_url")?.to_owned(),
        provider: text(&payment, "api_base")?.to_owned(),
        publishable_key: text(&payment, "publishable_key")?.to_owned(),
    })
}

/// Puts a hall on sale as the scenario wants it.
///
/// # Errors
/// If there is no demo that can sell, or it is refused.
pub async fn sale(gateway: &Http, scenario: &Scenario) -> Result<Sale, Lost> {
    let accounts = Call::get("/demo/accounts")?;
    let people = expect(gateway, &accounts, 200).await.map_err(|error| {
        Lost(format!("no demo on a loopback address (boxoffice.demo=true): {error}"))
    })?;
    let organizer = sign_in(gateway, &people, "theatre").await?;
    let operator = sign_in(gateway, &people, "operator").await?;
    let (plan, seats) = plan(scenario);
    let venue = json!({
        "name": "Rush arena", "address": "1 Harbour Street", "city": "Hamburg", "country": "DE",
        "time_zone": "Europe/Berlin", "plan": plan,
    });
    let venue = Call::post("/api/v1/venues", venue.to_string())?.by(&organizer);
    let venue = expect(gateway, &venue, 201).await?;
    let event = event(scenario, text(&venue, "venue_id")?);
    let event = Call::post("/api/v1/events", event.to_string())?.by(&organizer);
    let event_id = text(&expect(gateway, &event, 201).await?, "event_id")?.to_owned();
    let publish = Call::post(&format!("/api/v1/events/{event_id}/publish"), "{}")?.by(&organizer);
    expect(gateway, &publish, 200).await?;
    await_doors(gateway, &event_id, scenario).await?;
    Ok(Sale { event_id, seats, organizer, operator })
}

/// Signs all accounts up, many at a time, and says how far it is.
///
/// # Errors
/// If one is refused.
pub async fn accounts(
    gateway: &Arc<Http>,
    operator: &HeaderValue,
    count: u32,
    progress: impl Fn(usize),
) -> Result<Vec<Account>, Lost> {
    let run = infra::random_hex(4).map_err(|error| Lost(error.to_string()))?;
    let sign_ups = (0..count).map(|number| sign_up(gateway, operator, (&run, number)));
    let mut done = 0;
    let accounts = stream::iter(sign_ups).buffered(SIGN_UPS_AT_ONCE).inspect_ok(|_| {
        done += 1;
        progress(done);
    });
    accounts.try_collect().await
}

async fn sign_in(gateway: &Http, people: &Value, title: &str) -> Result<HeaderValue, Lost> {
    let mut all = people.get("accounts").and_then(Value::as_array).into_iter().flatten();
    let person = all.find(|its| text(its, "title").is_ok_and(|its| its == title));
    let person = person.ok_or_else(|| Lost(format!("there is no demo account {title:?}")))?;
    let login = json!({"email": text(person, "email")?, "password": text(person, "password")?});
    let call = Call::post("/api/v1/auth/login", login.to_string())?;
    bearer(text(&expect(gateway, &call, 200).await?, "access_token")?)
}

async fn sign_up(
    gateway: &Http,
    operator: &HeaderValue,
    (run, number): (&str, u32),
) -> Result<Account, Lost> {
    let email = format!("rush-{run}-{number}@buyers.example");
    let registration = json!({
        "email": email, "password": PASSWORD, "first_name": "Ruth", "last_name": "Rush",
    });
    let registration = Call::post("/api/v1/auth/register", registration.to_string())?;
    let registered = expect(gateway, &registration, 201).await?;
    let pin = pin(gateway, operator, &email).await?;
    let proof = json!({"email": email, "pin": pin}).to_string();
    expect(gateway, &Call::post("/api/v1/auth/verify-email", proof)?, 200).await?;
    let account = Account {
        id: text(&registered, "account_id")?.to_owned(),
        login: json!({"email": email, "password": PASSWORD}).to_string().into(),
        bearer: Mutex::new(HeaderValue::from_static("")),
    };
    account.renew(gateway).await?;
    Ok(account)
}

/// The PIN out of the mail, as the operator of a mailbox sees it.
async fn pin(gateway: &Http, operator: &HeaderValue, email: &str) -> Result<String, Lost> {
    let list = Call::get(&format!("/api/v1/admin/mails?to={}", escaped(email)))?.by(operator);
    let give_up = Instant::now() + MAIL_PATIENCE;
    loop {
        let mails = expect(gateway, &list, 200).await?;
        let first = mails.get("items").and_then(Value::as_array).and_then(|items| items.first());
        if let Some(mail) = first {
            let path = format!("/api/v1/admin/mails/{}", text(mail, "mail_id")?);
            let mail = expect(gateway, &Call::get(&path)?.by(operator), 200).await?;
            let mut words = text(&mail, "text")?.split(|c: char| !c.is_ascii_digit());
            let pin = words.find(|word| word.len() == 6);
            return pin.map(str::to_owned).ok_or_else(|| Lost(format!("no PIN in {mail}")));
        }
        if Instant::now() > give_up {
            return Err(Lost(format!("no mail came to {email}")));
        }
        sleep(POLL).await;
    }
}

/// The hall, and the names of all its seats. The first key of a row's seats is its section.
fn plan(scenario: &Scenario) -> (Value, Vec<String>) {
    let (mut left, mut number) = (scenario.seats(), 0);
    let row_seats = SEATS_A_ROW.max(left.div_ceil(MOST_ROWS));
    let (mut sections, mut seats) = (Vec::new(), Vec::new());
    while left > 0 {
        number += 1;
        let key = format!("block{number}");
        let mut rows = Vec::new();
        for row in 1..=ROWS_A_SECTION {
            let count = left.min(row_seats);
            if count == 0 {
                break;
            }
            left -= count;
            let name = format!("R{row}");
            seats.extend((1..=count).map(|seat| format!("{key}/{name}/{seat}")));
            rows.push(json!({"name": name, "first_number": 1, "seats": count}));
        }
        sections.push(json!({
            "key": key, "name": format!("Block {number}"), "kind": "seated", "category": "all",
            "rows": rows,
        }));
    }
    let admissions = scenario.places - scenario.seats();
    if admissions > 0 {
        sections.push(json!({
            "key": FLOOR, "name": "Floor", "kind": "admission", "category": "all",
            "capacity": admissions,
        }));
    }
    (json!({"sections": sections}), seats)
}

/// The section of the admissions.
pub const FLOOR: &str = "floor";

fn event(scenario: &Scenario, venue_id: &str) -> Value {
    let day = Duration::from_secs(24 * 3_600);
    let starts_at = SystemClock.now().plus(30 * day);
    let mut event = json!({
        "venue_id": venue_id, "name": "Rush", "kind": "concert",
        "description": "Everybody wants to go.", "currency": "EUR",
        "max_per_booking": scenario.behaviour.most_places,
        "starts_at": starts_at.to_string(), "ends_at": starts_at.plus(day).to_string(),
        "categories": [{"key": "all", "name": "All", "price_minor": scenario.price_minor}],
    });
    if scenario.behaviour.queue
        && let Some(event) = event.as_object_mut()
    {
        let queue = json!({
            "enabled": true, "admissions_per_minute": scenario.admissions_per_minute,
            "admission_ttl_seconds": scenario.admission_ttl.as_secs(),
        });
        event.insert("queue".to_owned(), queue);
    }
    event
}

/// Waits until all who have to know of the event do.
async fn await_doors(gateway: &Http, event_id: &str, scenario: &Scenario) -> Result<(), Lost> {
    let mut paths = vec![format!("/api/v1/events/{event_id}/availability?counts_only=true")];
    if scenario.behaviour.queue {
        paths.push(format!("/api/v1/events/{event_id}/queue"));
    }
    let give_up = Instant::now() + PATIENCE;
    for path in paths {
        let look = Call::get(&path)?;
        loop {
            match gateway.ask(&look).await {
                Ok(answer) if answer.status == 200 => break,
                _ if Instant::now() < give_up => sleep(POLL).await,
                Ok(answer) => return Err(unexpected(&path, &answer)),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// The JSON of an answer with `status`; comes later where it is told to.
pub(crate) async fn expect(gateway: &Http, call: &Call, status: u16) -> Result<Value, Lost> {
    for _ in 0..PUT_OFFS {
        let answer = gateway.ask(call).await?;
        let pause = answer.retry_after.filter(|pause| *pause <= LONGEST_PAUSE);
        if let (429 | 503, Some(pause)) = (answer.status, pause) {
            sleep(pause).await;
            continue;
        }
        if answer.status != status {
            return Err(unexpected(&call.to_string(), &answer));
        }
        return serde_json::from_slice(&answer.body)
            .map_err(|error| Lost(format!("{call}: no JSON: {error}")));
    }
    Err(Lost(format!("{call}: was put off {PUT_OFFS} times")))
}

fn unexpected(what: &str, answer: &Answer) -> Lost {
    let body = String::from_utf8_lossy(&answer.body);
    Lost(format!("{what}: answered {}: {body}", answer.status))
}

/// The text at `key`.
pub(crate) fn text<'v>(value: &'v Value, key: &str) -> Result<&'v str, Lost> {
    let found = value.get(key).and_then(Value::as_str);
    found.ok_or_else(|| Lost(format!("expected {key:?} in {value}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Preset;

    #[test]
    fn a_plan_has_as_many_places_as_are_sold() {
        let (mixed, seated, standing) = ([4, 4, 2], [1, 0, 0], [0, 0, 1]);
        let halls = [(400, mixed), (5_001, seated), (50, standing), (200_000, seated)];
        for (places, ways) in halls {
            let mut scenario = Preset::Sale.scenario();
            (scenario.places, scenario.behaviour.ways) = (places, ways);
            let (plan, seats) = plan(&scenario);
            let (mut count, mut all_rows) = (0, 0);
            for section in plan["sections"].as_array().unwrap() {
                count += section["capacity"].as_u64().unwrap_or_default();
                let rows = section["rows"].as_array().into_iter().flatten();
                let rows: Vec<_> = rows.collect();
                all_rows += rows.len();
                count += rows.iter().map(|row| row["seats"].as_u64().unwrap()).sum::<u64>();
            }
            assert_eq!(count, u64::from(places));
            assert!(all_rows <= MOST_ROWS as usize, "as a venue takes");
            assert_eq!(seats.len(), scenario.seats() as usize);
            let names: std::collections::HashSet<_> = seats.iter().collect();
            assert_eq!(names.len(), seats.len(), "each seat has a name of its own");
        }
    }
}
