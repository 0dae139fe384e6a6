//! What the databases of a state directory say, read as they are: no code of the services is asked.

use std::path::Path;

use db::{Db, FromValue, Row, Settings};
use serde_json::Value;
use uuid::Uuid;

/// The databases with an outbox and an inbox.
const SERVICES: [&str; 7] = [
    "booking_system_auth",
    "user_service",
    "booking_system_ticket",
    "booking_system_event",
    "payment_db",
    "booking_service",
    "booking_system",
];

/// Everything the audit looks at.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) bookings: Vec<Booking>,
    pub(super) steps: Vec<Step>,
    pub(super) tickets: Vec<Ticket>,
    pub(super) claims: Vec<Claim>,
    pub(super) holds: Vec<Hold>,
    pub(super) sections: Vec<Section>,
    /// Event, capacity, places that are free.
    pub(super) tallies: Vec<(String, i64, i64)>,
    pub(super) payments: Vec<Payment>,
    pub(super) intents: Vec<Intent>,
    /// Intent, minor units that went back at the provider.
    pub(super) provider_refunds: Vec<(String, i64)>,
    pub(super) events: Vec<Event>,
    /// Topic, number of its last event.
    pub(super) topics: Vec<(String, i64)>,
    /// Group, topic, number of the last event that it is done with.
    pub(super) offsets: Vec<(String, String, i64)>,
    pub(super) mails: Vec<Mail>,
    /// Account, address.
    pub(super) contacts: Vec<(String, String)>,
    /// Line (an event), its last number, the number being served.
    pub(super) lines: Vec<(String, i64, i64)>,
    /// Line, number, member.
    pub(super) places: Vec<(String, i64, String)>,
    /// What waits, or was given up: in words.
    pub(super) leftovers: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Booking {
    pub(super) id: String,
    pub(super) reference: String,
    pub(super) account: String,
    pub(super) key: String,
    pub(super) event: String,
    pub(super) status: String,
    pub(super) payment_status: String,
    pub(super) places: usize,
    pub(super) total_minor: i64,
    pub(super) payment: Option<String>,
    /// Whether somebody has to do something with it, or is at it.
    pub(super) open: bool,
}

/// A line of a booking's history, in order.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) booking: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) input: String,
}

#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) booking: String,
    pub(super) event: String,
    pub(super) section: String,
    pub(super) seat: Option<String>,
    pub(super) price_minor: i64,
    pub(super) live: bool,
}

#[derive(Debug)]
pub(super) struct Claim {
    pub(super) event: String,
    pub(super) seat: String,
    pub(super) hold: String,
    pub(super) sold: bool,
}

#[derive(Debug)]
pub(super) struct Hold {
    pub(super) id: String,
    pub(super) event: String,
    pub(super) seats: Vec<String>,
    pub(super) section: Option<String>,
    pub(super) quantity: i64,
    pub(super) held: bool,
}

#[derive(Debug)]
pub(super) struct Section {
    pub(super) event: String,
    pub(super) section: String,
    pub(super) capacity: i64,
    pub(super) held: i64,
    pub(super) sold: i64,
}

#[derive(Debug)]
pub(super) struct Payment {
    pub(super) id: String,
    pub(super) booking: String,
    pub(super) amount_minor: i64,
    pub(super) captured_minor: i64,
    pub(super) refunded_minor: i64,
    pub(super) state: String,
    pub(super) intent: Option<String>,
}

/// A payment as the provider has it.
#[derive(Debug)]
pub(super) struct Intent {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) booking: String,
    pub(super) received_minor: i64,
}

#[derive(Debug)]
pub(super) struct Event {
    pub(super) topic: String,
    pub(super) number: i64,
    pub(super) id: String,
    pub(super) key: String,
    pub(super) kind: String,
    pub(super) content: Value,
}

#[derive(Debug)]
pub(super) struct Mail {
    pub(super) to: String,
    pub(super) template: String,
    pub(super) text: String,
    pub(super) sent: bool,
}

/// A database, to read only.
struct Store(Db);

impl Store {
    async fn open(state: &Path, name: &str) -> Self {
        let url = format!("sqlite:{}", state.join(format!("{name}.sqlite")).display());
        Self(Db::open(&Settings::new(url)).await.unwrap())
    }

    async fn all<T: Send + 'static>(&self, sql: &'static str, of: fn(&Row) -> T) -> Vec<T> {
        let rows = self.0.read(move |tx| Box::pin(async move { tx.query(sql, &[]).await }));
        rows.await.unwrap_or_else(|error| panic!("{sql}: {error}")).iter().map(of).collect()
    }

    /// Adds a leftover for each row: `what`, and the row's text.
    async fn left(&self, facts: &mut Facts, what: &str, sql: &'static str) {
        let texts = self.all(sql, get::<String>).await;
        facts.leftovers.extend(texts.into_iter().map(|text| format!("{what} {text}")));
    }
}

fn at<T: FromValue>(row: &Row, index: usize) -> T {
    row.get(index).unwrap()
}

/// The only column.
fn get<T: FromValue>(row: &Row) -> T {
    at(row, 0)
}

fn id(row: &Row, index: usize) -> String {
    at::<Uuid>(row, index).to_string()
}

fn maybe_id(row: &Row, index: usize) -> Option<String> {
    at::<Option<Uuid>>(row, index).map(|id| id.to_string())
}

fn list(row: &Row, index: usize) -> Vec<Value> {
    match at::<Option<Value>>(row, index) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

impl Facts {
    /// Reads the state directory of a platform.
    pub(super) async fn read(state: &Path) -> Self {
        let mut facts = Self::default();
        facts.read_bookings(state).await;
        facts.read_tickets(state).await;
        facts.read_payments(state).await;
        facts.read_sandbox(state).await;
        facts.read_bus(state).await;
        facts.read_mails(state).await;
        facts.read_queues(state).await;
        for name in SERVICES {
            let store = Store::open(state, name).await;
            let waiting = "select kind || ' of ' || key from boxoffice_outbox";
            store.left(&mut facts, &format!("{name}: in the outbox:"), waiting).await;
            let stuck = "select key from boxoffice_idempotency where answer is null";
            store.left(&mut facts, &format!("{name}: no answer under key"), stuck).await;
            store.0.close().await;
        }
        facts
    }

    async fn read_bookings(&mut self, state: &Path) {
        let store = Store::open(state, "booking_service").await;
        const BOOKINGS: &str =
            "select id, reference, account_id, idempotency_key, event_id, status,
            payment_status, places, coalesce(total_minor, 0), payment_id,
            due_at is not null or leased or cancelling or undo <> '' from bookings order by id";
        let booking = |row: &Row| Booking {
            id: id(row, 0),
            reference: at(row, 1),
            account: id(row, 2),
            key: at(row, 3),
            event: id(row, 4),
            status: at(row, 5),
            payment_status: at(row, 6),
            places: list(row, 7).len(),
            total_minor: at(row, 8),
            payment: maybe_id(row, 9),
            open: at(row, 10),
        };
        self.bookings = store.all(BOOKINGS, booking).await;
        const STEPS: &str = "select booking_id, from_status, to_status, input from booking_history
            order by booking_id, version, ordinal";
        let step = |row: &Row| Step {
            booking: id(row, 0),
            from: at(row, 1),
            to: at(row, 2),
            input: at(row, 3),
        };
        self.steps = store.all(STEPS, step).await;
        const DEAD: &str = "select step || ': ' || last_error from dead_letters";
        store.left(self, "booking's dead letter", DEAD).await;
        store.0.close().await;
    }

    async fn read_tickets(&mut self, state: &Path) {
        let store = Store::open(state, "booking_system_ticket").await;
        const TICKETS: &str = "select booking_id, event_id, section, seat, price_minor,
            status in ('issued', 'used') from tickets";
        let ticket = |row: &Row| Ticket {
            booking: id(row, 0),
            event: id(row, 1),
            section: at(row, 2),
            seat: at(row, 3),
            price_minor: at(row, 4),
            live: at(row, 5),
        };
        self.tickets = store.all(TICKETS, ticket).await;
        const CLAIMS: &str = "select event_id, seat, hold_id, state = 'sold' from claims";
        let claim = |row: &Row| Claim {
            event: id(row, 0),
            seat: at(row, 1),
            hold: id(row, 2),
            sold: at(row, 3),
        };
        self.claims = store.all(CLAIMS, claim).await;
        const HOLDS: &str =
            "select hold_id, event_id, seats, section, quantity, status = 'held' from holds";
        let hold = |row: &Row| Hold {
            id: id(row, 0),
            event: id(row, 1),
            seats: list(row, 2).iter().map(|seat| seat.as_str().unwrap().to_owned()).collect(),
            section: at(row, 3),
            quantity: at(row, 4),
            held: at(row, 5),
        };
        self.holds = store.all(HOLDS, hold).await;
        const SECTIONS: &str = "select event_id, section, capacity, held, sold from sections";
        let section = |row: &Row| Section {
            event: id(row, 0),
            section: at(row, 1),
            capacity: at(row, 2),
            held: at(row, 3),
            sold: at(row, 4),
        };
        self.sections = store.all(SECTIONS, section).await;
        const TALLIES: &str = "select t.event_id, i.capacity, t.available
            from tallies t join inventories i on i.event_id = t.event_id";
        self.tallies = store.all(TALLIES, |row| (id(row, 0), at(row, 1), at(row, 2))).await;
        store.0.close().await;
    }

    async fn read_payments(&mut self, state: &Path) {
        let store = Store::open(state, "payment_db").await;
        const PAYMENTS: &str = "select payment_id, booking_id, amount_minor, captured_minor,
            refunded_minor, state, provider_reference from payments";
        let payment = |row: &Row| Payment {
            id: id(row, 0),
            booking: id(row, 1),
            amount_minor: at(row, 2),
            captured_minor: at(row, 3),
            refunded_minor: at(row, 4),
            state: at(row, 5),
            intent: at(row, 6),
        };
        self.payments = store.all(PAYMENTS, payment).await;
        const OPEN: &str = "select state || ' of ' || amount_minor from refunds
            where state <> 'succeeded'";
        store.left(self, "a refund that is", OPEN).await;
        store.0.close().await;
    }

    async fn read_sandbox(&mut self, state: &Path) {
        let store = Store::open(state, "stripe_sandbox").await;
        const INTENTS: &str = "select doc from stripe_objects where kind = 'payment_intent'";
        self.intents = store.all(INTENTS, |row| intent(&get(row))).await;
        const REFUNDS: &str = "select doc from stripe_objects where kind = 'refund'";
        let refund = |row: &Row| {
            let doc: Value = get(row);
            let amount = if doc["status"] == "succeeded" { doc["amount"].as_i64() } else { None };
            (doc["payment_intent"].as_str().unwrap().to_owned(), amount.unwrap_or(0))
        };
        self.provider_refunds = store.all(REFUNDS, refund).await;
        const DUE: &str = "select kind || ' ' || target from stripe_due";
        store.left(self, "the provider has yet to do:", DUE).await;
        store.0.close().await;
    }

    async fn read_bus(&mut self, state: &Path) {
        let store = Store::open(state, "bus").await;
        const EVENTS: &str = "select topic, seq, id, key, event from bus_log order by topic, seq";
        let event = |row: &Row| {
            let event: Value = at(row, 4);
            Event {
                topic: at(row, 0),
                number: at(row, 1),
                id: id(row, 2),
                key: at(row, 3),
                kind: event["type"].as_str().unwrap().to_owned(),
                content: event["data"].clone(),
            }
        };
        self.events = store.all(EVENTS, event).await;
        let topics = "select topic, last from bus_topics";
        self.topics = store.all(topics, |row| (at(row, 0), at(row, 1))).await;
        let offsets = "select grp, topic, seq from bus_offsets";
        self.offsets = store.all(offsets, |row| (at(row, 0), at(row, 1), at(row, 2))).await;
        const PARKED: &str = "select grp || ': ' || error from bus_parked";
        store.left(self, "a parked event at", PARKED).await;
        const DEAD: &str = "select grp || ': ' || error from bus_dead_letters";
        store.left(self, "a dead letter at", DEAD).await;
        store.0.close().await;
    }

    async fn read_mails(&mut self, state: &Path) {
        let store = Store::open(state, "booking_system").await;
        const MAILS: &str = "select to_address, template, text, status = 'sent' from mails";
        let mail = |row: &Row| Mail {
            to: at(row, 0),
            template: at(row, 1),
            text: at(row, 2),
            sent: at(row, 3),
        };
        self.mails = store.all(MAILS, mail).await;
        let contacts = "select account_id, email from contacts";
        self.contacts = store.all(contacts, |row| (id(row, 0), at(row, 1))).await;
        store.0.close().await;
    }

    async fn read_queues(&mut self, state: &Path) {
        let store = Store::open(state, "kv").await;
        let lines = "select name, last, serving from kv_lines";
        self.lines = store.all(lines, |row| (at(row, 0), at(row, 1), at(row, 2))).await;
        const PLACES: &str = "select l.name, p.number, p.member
            from kv_places p join kv_lines l on l.line = p.line";
        self.places = store.all(PLACES, |row| (at(row, 0), at(row, 1), at(row, 2))).await;
        store.0.close().await;
    }
}

fn intent(doc: &Value) -> Intent {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Intent {
        id: text(&doc["id"]),
        status: text(&doc["status"]),
        booking: text(&doc["metadata"]["booking_id"]),
        received_minor: doc["amount_received"].as_i64().unwrap(),
    }
}
