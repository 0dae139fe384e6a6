//! A platform on which something of everything has happened, and the picture of all of it that is
//! compared before and after.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use kernel::{Clock, HoldId, SystemClock};
use platform::SystemIds;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::system::{Answer, Ask, System, Web};

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// Nothing must happen by itself while pictures are compared.
pub(crate) const VALUES: [(&str, &str); 2] =
    [("booking.hold_ttl_seconds", "3600"), ("auth.login_attempts", "1000")];

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    Visitor,
    Operator,
    /// Sells the theatre's event, and has a draft.
    Theatre,
    /// Another organization.
    Promoter,
    /// Has bookings, a ticket and a place in a queue.
    Buyer,
    /// Another individual, who has nothing.
    Other,
}

use Who::{Buyer, Operator, Other, Promoter, Theatre, Visitor};

/// The demo's accounts.
const TITLES: [(Who, &str); 4] =
    [(Operator, "operator"), (Theatre, "theatre"), (Promoter, "promoter"), (Buyer, "buyer")];

pub(super) struct Stage {
    /// The platform, where it is in this process.
    system: Option<System>,
    people: BTreeMap<Who, Web>,
    /// What stands for `{event}`, `{booking}` and the like.
    pub(super) ids: BTreeMap<&'static str, String>,
    /// The OpenAPI document.
    pub(super) document: Value,
    asked: AtomicU64,
}

/// A picture of everything that anybody can read.
type Picture = BTreeMap<String, Value>;

impl Stage {
    pub(super) async fn set() -> Self {
        Self::on(System::start(&VALUES).await).await
    }

    /// One on each engine, one after the other.
    pub(super) async fn on_both(mut play: impl AsyncFnMut(&Self)) {
        for postgres in [false, true] {
            let stage = match postgres {
                false => Self::set().await,
                true => Self::on(System::start_on_postgres(&VALUES).await).await,
            };
            play(&stage).await;
            stage.end().await;
        }
    }

    async fn on(system: System) -> Self {
        let mut people = BTreeMap::from([(Visitor, system.visitor())]);
        for (who, title) in TITLES {
            people.insert(who, system.person(title).await);
        }
        Self::with(Some(system), people).await
    }

    /// At a gateway of a platform that runs elsewhere.
    pub(super) async fn at(gateway: &str, passwords: &BTreeMap<String, String>) -> Self {
        let visitor = Web::new(gateway);
        let mut people = BTreeMap::from([(Visitor, visitor.clone())]);
        for (who, title) in TITLES {
            let email = format!("{title}@boxoffice.example");
            let login = json!({"email": email, "password": passwords[&email]});
            let tokens = visitor.post("/api/v1/auth/login", &login).await.expect(200);
            people.insert(who, visitor.with_token(tokens["access_token"].as_str().unwrap()));
        }
        Self::with(None, people).await
    }

    async fn with(system: Option<System>, people: BTreeMap<Who, Web>) -> Self {
        let (ids, document) = (BTreeMap::new(), Value::Null);
        let mut stage = Self { system, people, ids, document, asked: AtomicU64::new(0) };
        stage.document = stage.get(Visitor, "/api/docs/openapi.json").await.expect(200);
        let other = stage.sign_up("other@buyers.example").await;
        stage.people.insert(Other, other);
        stage.fill().await;
        stage.settle().await;
        stage
    }

    /// How many requests were sent.
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    /// Lets something of everything happen.
    async fn fill(&mut self) {
        let events = self.get(Visitor, "/api/v1/events").await.expect(200);
        for (name, word) in [("event", "Tempest"), ("arena", "Midnight"), ("free", "Lantern")] {
            let mut items = events["items"].as_array().unwrap().iter();
            let found = items.find(|its| its["name"].as_str().unwrap().contains(word)).unwrap();
            self.note(name, &found["event_id"]);
            if name == "event" {
                self.note("venue", &found["venue_id"]);
            }
        }
        let hold = HoldId::new(&SystemIds, SystemClock.now());
        self.note("hold", &json!(hold.to_string()));
        let event = self.filled("{event}");
        let draft = self.post(Theatre, "/api/v1/events", &self.new_event()).await.expect(201);
        self.note("draft", &draft["event_id"]);

        let wish = json!({"event_id": event, "choice": {"seats": ["stalls/C/12"]}});
        let booking = self.post(Buyer, "/api/v1/bookings", &wish).await.expect(201);
        self.note("booking", &booking["booking_id"]);
        self.note("payment", &booking["payment_id"]);
        let choice = json!({"admissions": {"section": "workshop", "quantity": 2}});
        let wish = json!({"event_id": self.filled("{free}"), "choice": choice});
        let free = self.post(Buyer, "/api/v1/bookings", &wish).await.expect(201);
        self.note("confirmed", &free["booking_id"]);
        let tickets = self.filled("/api/v1/tickets?booking_id={confirmed}");
        let two = |list: &Value| list["items"].as_array().unwrap().len() == 2;
        let tickets = self.wait_for(Buyer, &tickets, two).await;
        self.note("ticket", &tickets["items"][0]["ticket_id"]);
        self.note("code", &tickets["items"][0]["code"]);
        let queue = self.filled("/api/v1/events/{arena}/queue");
        // It is told of the event by an event message.
        self.wait_for(Visitor, &queue, |_: &Value| true).await;
        self.post(Buyer, &queue, &json!({})).await.expect(201);
        let admitted = |place: &Value| place["status"] == "admitted";
        self.wait_for(Buyer, &format!("{queue}/place"), admitted).await;
        let path = "/api/v1/admin/mails?to=buyer%40boxoffice.example";
        let any = |mails: &Value| !mails["items"].as_array().unwrap().is_empty();
        let mails = self.wait_for(Operator, path, any).await;
        self.note("mail", &mails["items"][0]["mail_id"]);
        let other = self.get(Other, "/api/v1/accounts/me").await.expect(200);
        self.note("account", &other["account_id"]);
    }

    fn note(&mut self, name: &'static str, id: &Value) {
        self.ids.insert(name, id.as_str().unwrap().to_owned());
    }

    /// A valid event of the theatre.
    pub(super) fn new_event(&self) -> Value {
        let category = |key: &str| json!({"key": key, "name": key, "price_minor": 1_000});
        json!({
            "venue_id": self.ids["venue"], "name": "Twelfth Night",
            "description": "or what you will",
            "kind": "theater", "currency": "EUR", "max_per_booking": 5,
            "starts_at": "2040-01-06T19:00:00Z", "ends_at": "2040-01-06T22:00:00Z",
            "sale_starts_at": "2039-01-01T00:00:00Z", "sale_ends_at": "2040-01-06T19:00:00Z",
            "categories": [category("first"), category("second"), category("third")],
            "queue": {"enabled": true, "admissions_per_minute": 60, "admission_ttl_seconds": 300},
        })
    }

    /// Opens an account and proves its address with the PIN from the mailbox.
    pub(super) async fn sign_up(&self, email: &str) -> Web {
        let names = json!({"first_name": "Ona", "last_name": "Other"});
        let body = json!({"email": email, "password": "Correct-horse-9",
            "first_name": names["first_name"], "last_name": names["last_name"]});
        self.post(Visitor, "/api/v1/auth/register", &body).await.expect(201);
        let path = format!("/api/v1/admin/mails?to={}", email.replace('@', "%40"));
        let sent = |mails: &Value| mails["items"][0]["status"] == "sent";
        let mails = self.wait_for(Operator, &path, sent).await;
        let path =
            format!("/api/v1/admin/mails/{}", mails["items"][0]["mail_id"].as_str().unwrap());
        let mail = self.get(Operator, &path).await.expect(200);
        let words = mail["text"].as_str().unwrap().split(|c: char| !c.is_ascii_digit());
        let pin = words.filter(|word| word.len() == 6).map(ToOwned::to_owned).next().unwrap();
        let proof = json!({"email": email, "pin": pin});
        self.post(Visitor, "/api/v1/auth/verify-email", &proof).await.expect(200);
        let login = json!({"email": email, "password": "Correct-horse-9"});
        let tokens = self.post(Visitor, "/api/v1/auth/login", &login).await.expect(200);
        self.people[&Visitor].with_token(tokens["access_token"].as_str().unwrap())
    }

    pub(super) fn person(&self, who: Who) -> &Web {
        &self.people[&who]
    }

    /// The text with `{event}` and the like replaced by ids.
    pub(super) fn filled(&self, text: &str) -> String {
        let fill =
            |text: String, (name, id): (&&str, &String)| text.replace(&format!("{{{name}}}"), id);
        self.ids.iter().fold(text.to_owned(), fill)
    }

    pub(super) async fn get(&self, who: Who, path: &str) -> Answer {
        self.send(who, Ask::new(Method::GET, path)).await
    }

    /// Posts, with a key that nobody else has.
    pub(super) async fn post(&self, who: Who, path: &str, body: &Value) -> Answer {
        let key = format!("key {}", self.asked.load(Ordering::SeqCst));
        let ask = Ask::new(Method::POST, path).json(body).header("idempotency-key", &key);
        self.send(who, ask).await
    }

    /// Sends a request; whatever the answer, it must be a proper one.
    pub(super) async fn send(&self, who: Who, ask: Ask) -> Answer {
        self.send_as(&self.people[&who], ask).await
    }

    pub(super) async fn send_as(&self, web: &Web, ask: Ask) -> Answer {
        let id = format!("test-{}", self.asked.fetch_add(1, Ordering::SeqCst));
        let answer = web.send(ask.header("x-correlation-id", &id)).await;
        let Answer { asked, status, body, .. } = &answer;
        assert!(*status < 500, "{asked}: {status} {body}");
        assert_eq!(answer.header("x-correlation-id"), id, "{asked}");
        if *status >= 400 {
            assert_eq!(
                answer.header("content-type"),
                "application/problem+json",
                "{asked}: {body}"
            );
            let code = body["code"].as_str().unwrap_or_else(|| panic!("{asked}: {body}"));
            let fits = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
            assert!(!code.is_empty() && code.bytes().all(fits), "{asked}: {body}");
            assert_eq!(body["status"], *status, "{asked}: {body}");
            assert_eq!(body["correlation_id"], id, "{asked}: {body}");
            assert!(!body["detail"].as_str().unwrap().is_empty(), "{asked}: {body}");
        }
        answer
    }

    /// Reads until `done` says so.
    pub(super) async fn wait_for(
        &self,
        who: Who,
        path: &str,
        done: impl Fn(&Value) -> bool,
    ) -> Value {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(who, path).await;
            if answer.status == 200 && done(&answer.body) {
                return answer.body;
            }
            assert!(Instant::now() < give_up, "GET {path}: still {answer:?}");
            sleep(POLL).await;
        }
    }

    /// Waits until nothing changes any more: mails are sent, profiles are made.
    pub(super) async fn settle(&self) {
        let profile = |_: &Value| true;
        self.wait_for(Other, "/api/v1/users/me/profile", profile).await;
        let give_up = Instant::now() + PATIENCE;
        let mut before = self.picture().await;
        loop {
            sleep(POLL * 8).await;
            let now = self.picture().await;
            let mails = now["Operator /api/v1/admin/mails"].as_array().unwrap();
            if now == before && mails.iter().all(|mail| mail["status"] == "sent") {
                return;
            }
            before = now;
            assert!(Instant::now() < give_up, "something goes on, and does not end");
        }
    }

    pub(super) async fn picture(&self) -> Picture {
        let own = ["/api/v1/accounts/me", "/api/v1/users/me/profile"];
        let lists = ["/api/v1/bookings", "/api/v1/tickets", "/api/v1/payments"];
        let shop = ["/api/v1/venues", "/api/v1/events?mine=true"];
        let open = [
            "/api/v1/events",
            "/api/v1/events/{event}/availability",
            "/api/v1/events/{arena}/availability?counts_only=true",
            "/api/v1/events/{free}/availability",
            "/api/v1/events/{arena}/queue",
            "/api/v1/tickets/keys",
        ];
        let place = ["/api/v1/events/{arena}/queue/place"];
        let watched = ["/api/v1/admin/mails", "/api/v1/admin/dead-letters"];
        let views: [(Who, &[&[&str]]); 6] = [
            (Visitor, &[&open]),
            (Operator, &[&own, &watched]),
            (Theatre, &[&own, &shop, &lists]),
            (Promoter, &[&own, &shop, &lists]),
            (Buyer, &[&own, &lists, &place]),
            (Other, &[&own, &lists, &place]),
        ];
        let mut picture = Picture::new();
        for (who, paths) in views {
            for path in paths.concat() {
                picture
                    .insert(format!("{who:?} {path}"), self.whole(who, &self.filled(path)).await);
            }
        }
        picture
    }

    /// A list with all of its pages, or what else is there.
    async fn whole(&self, who: Who, path: &str) -> Value {
        let mut answer = self.get(who, path).await;
        let Some(first) = answer.body.get("items") else {
            // A refusal is part of the picture, but for its own correlation id.
            answer.body.as_object_mut().unwrap().remove("correlation_id");
            return answer.body;
        };
        let mut items = first.as_array().unwrap().clone();
        while answer.body.get("next_cursor").is_some() {
            let link = answer.header("link");
            let next = link.split(['<', '>']).nth(1).unwrap().to_owned();
            answer = self.get(who, &next).await;
            items.extend(answer.body["items"].as_array().unwrap().iter().cloned());
        }
        // A wish that was refused is kept as a failed booking, for its key to have one answer.
        items.retain(|item| {
            let failed = path == "/api/v1/bookings" && item["status"] == "failed";
            assert!(!failed || item["places"] == json!([]), "it holds nothing: {item}");
            assert!(!failed || item.get("payment_id").is_none(), "it asks for nothing: {item}");
            !failed
        });
        Value::Array(items)
    }

    /// Everything must be as in the picture.
    pub(super) async fn unchanged_since(&self, before: &Picture) {
        let now = self.picture().await;
        for (view, before) in before {
            assert_eq!(&now[view], before, "{view} has changed");
        }
    }

    pub(super) async fn end(self) {
        if let Some(system) = self.system {
            system.running.stop().await;
        }
    }
}
