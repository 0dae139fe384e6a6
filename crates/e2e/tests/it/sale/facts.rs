//! What the stores of a platform say, read as they are: no code of the services is asked.

use std::time::Duration;

use db::Row;
use platform::Tasks;
use serde_json::Value;
use uuid::Uuid;

use super::{
    log,
    stores::{PROVIDER, Servers, Store, Stores, at},
};

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
#[derive(Debug, Default, Clone)]
pub(crate) struct Facts {
    pub(crate) bookings: Vec<Booking>,
    pub(crate) steps: Vec<Step>,
    pub(crate) tickets: Vec<Ticket>,
    pub(crate) claims: Vec<Claim>,
    pub(crate) holds: Vec<Hold>,
    pub(crate) sections: Vec<Section>,
    /// Event, capacity, places that are free.
    pub(crate) tallies: Vec<(String, i64, i64)>,
    pub(crate) payments: Vec<Payment>,
    pub(crate) intents: Vec<Intent>,
    /// Intent, minor units that went back at the provider.
    pub(crate) provider_refunds: Vec<(String, i64)>,
    pub(crate) events: Vec<Event>,
    /// Topic, number of its last event.
    pub(crate) topics: Vec<(String, i64)>,
    /// Group, topic, number of the last event that it is done with.
    pub(crate) offsets: Vec<(String, String, i64)>,
    pub(crate) mails: Vec<Mail>,
    /// Account, address.
    pub(crate) contacts: Vec<(String, String)>,
    /// Line (an event), its last number, the number being served.
    pub(crate) lines: Vec<(String, i64, i64)>,
    /// Line, number, member.
    pub(crate) places: Vec<(String, i64, String)>,
    /// What waits, or was given up: in words.
    pub(crate) leftovers: Vec<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Booking {
    pub(crate) id: String,
    pub(crate) reference: String,
    pub(crate) account: String,
    pub(crate) key: String,
    pub(crate) event: String,
    pub(crate) status: String,
    pub(crate) payment_status: String,
    pub(crate) places: usize,
    pub(crate) total_minor: i64,
    pub(crate) payment: Option<String>,
    /// Whether somebody has to do something with it, or is at it.
    pub(crate) open: bool,
}

/// A line of a booking's history, in order.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) booking: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) input: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Ticket {
    pub(crate) booking: String,
    pub(crate) event: String,
    pub(crate) section: String,
    pub(crate) seat: Option<String>,
    pub(crate) price_minor: i64,
    pub(crate) live: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) event: String,
    pub(crate) seat: String,
    pub(crate) hold: String,
    pub(crate) sold: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Hold {
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) seats: Vec<String>,
    pub(crate) section: Option<String>,
    pub(crate) quantity: i64,
    pub(crate) held: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Section {
    pub(crate) event: String,
    pub(crate) section: String,
    pub(crate) capacity: i64,
    pub(crate) held: i64,
    pub(crate) sold: i64,
}

#[derive(Debug, Clone)]
pub(crate) struct Payment {
    pub(crate) id: String,
    pub(crate) booking: String,
    pub(crate) amount_minor: i64,
    pub(crate) captured_minor: i64,
    pub(crate) refunded_minor: i64,
    pub(crate) state: String,
    pub(crate) intent: Option<String>,
}

/// A payment as the provider has it.
#[derive(Debug, Clone)]
pub(crate) struct Intent {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) booking: String,
    pub(crate) received_minor: i64,
}

#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) topic: String,
    pub(crate) number: i64,
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) kind: String,
    pub(crate) content: Value,
}

#[derive(Debug, Clone)]
pub(crate) struct Mail {
    pub(crate) to: String,
    pub(crate) template: String,
    pub(crate) text: String,
    pub(crate) sent: bool,
}

/// The only column.
fn get<T: db::FromValue>(row: &Row) -> T {
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
    /// Reads everything.
    pub(crate) async fn read(stores: &Stores) -> Self {
        let mut facts = Self::default();
        for name in SERVICES.into_iter().chain([PROVIDER]) {
            facts.read_database(stores, name).await;
        }
        match stores {
            Stores::Files(_) => {
                facts.read_database(stores, "bus").await;
                facts.read_database(stores, "kv").await;
            }
            Stores::Servers(servers) => {
                facts.read_log(servers).await;
                facts.read_lines(servers).await;
            }
        }
        facts
    }

    /// The same, but for the database called `name`, which is read again.
    pub(crate) async fn read_again(&self, stores: &Stores, name: &str) -> Self {
        let mut facts = self.clone();
        facts.read_database(stores, name).await;
        facts
    }

    async fn read_database(&mut self, stores: &Stores, name: &str) {
        let store = Store::open(stores, name).await;
        match name {
            "booking_service" => self.read_bookings(&store).await,
            "booking_system_ticket" => self.read_tickets(&store).await,
            "payment_db" => self.read_payments(&store).await,
            "booking_system" => self.read_mails(&store).await,
            PROVIDER => self.read_provider(&store).await,
            "bus" => self.read_bus(&store).await,
            "kv" => self.read_queues(&store).await,
            _ => {}
        }
        if SERVICES.contains(&name) {
            const WAITING: &str = "select kind || ' of ' || key from boxoffice_outbox";
            const STUCK: &str = "select key from boxoffice_idempotency where answer is null";
            self.left(&store, &format!("{name}: in the outbox:"), WAITING).await;
            self.left(&store, &format!("{name}: no answer under key"), STUCK).await;
        }
        store.close().await;
    }

    /// Adds a leftover for each row: `what`, and the row's text.
    async fn left(&mut self, store: &Store, what: &str, sql: &'static str) {
        self.leftovers.extend(store.told(what, sql).await);
    }

    async fn read_log(&mut self, servers: &Servers) {
        let brokers = servers.brokers.clone();
        let read = tokio::task::spawn_blocking(move || log::read(&brokers)).await.unwrap();
        self.events = read.events;
        self.topics = read.topics;
        self.offsets = read.offsets;
        self.leftovers.extend(read.leftovers);
    }

    async fn read_lines(&mut self, servers: &Servers) {
        let tasks = Tasks::new();
        let kv = servers.kv(&tasks).await;
        for (event, ..) in &self.tallies {
            let head = kv.queue().head(event).await.unwrap();
            if head.last > 0 {
                let (last, serving) = (head.last as i64, head.serving as i64);
                self.lines.push((event.clone(), last, serving));
            }
            let waiting = (0..head.waiting).map(|_| (event.clone(), 0, String::new()));
            self.places.extend(waiting);
        }
        tasks.stop(Duration::ZERO).await;
    }

    async fn read_bookings(&mut self, store: &Store) {
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
        self.left(store, "booking's dead letter", DEAD).await;
    }

    async fn read_tickets(&mut self, store: &Store) {
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
    }

    async fn read_payments(&mut self, store: &Store) {
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
        self.left(store, "a refund that is", OPEN).await;
    }

    async fn read_provider(&mut self, store: &Store) {
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
        self.left(store, "the provider has yet to do:", DUE).await;
    }

    async fn read_bus(&mut self, store: &Store) {
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
        self.left(store, "a parked event at", PARKED).await;
        const DEAD: &str = "select grp || ': ' || error from bus_dead_letters";
        self.left(store, "a dead letter at", DEAD).await;
    }

    async fn read_mails(&mut self, store: &Store) {
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
    }

    async fn read_queues(&mut self, store: &Store) {
        let lines = "select name, last, serving from kv_lines";
        self.lines = store.all(lines, |row| (at(row, 0), at(row, 1), at(row, 2))).await;
        const PLACES: &str = "select l.name, p.number, p.member
            from kv_places p join kv_lines l on l.line = p.line";
        self.places = store.all(PLACES, |row| (at(row, 0), at(row, 1), at(row, 2))).await;
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
