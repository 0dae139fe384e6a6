//! The load: buyers at work while the platform dies under them. Every answer goes to the journal.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use kernel::{Clock, HoldId, SystemClock};
use serde_json::{Value, json};
use testkit::SeededIds;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    journal::{Journal, Place, Wish},
    stage::{Buyer, ROWS, SEATS_A_ROW, Stage},
    web::{Call, Heard, Web},
};

/// How long a buyer waits to see a booking confirmed or a place served, before going away.
const PATIENCE: Duration = Duration::from_millis(2_500);
const POLL: Duration = Duration::from_millis(40);
/// The pause between two journeys of one client, in milliseconds, at most.
const PAUSE_MS: u64 = 100;
/// How many ask at once when everything is asked for again.
const AT_ONCE: usize = 12;

/// How busy the load is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// How many buyers are at it at the same time.
    pub(crate) clients: usize,
    /// The most wishes a life of the platform, on average.
    pub(crate) wishes_a_life: usize,
}

/// Everything a client works with.
pub(crate) struct World {
    pub(crate) web: Arc<Web>,
    pub(crate) stage: Stage,
    pub(crate) journal: Journal,
    pub(crate) dice: SeededIds,
    pace: Pace,
    /// Which life of the platform this is, from 1.
    lives: AtomicUsize,
    /// How many of the halls are on sale by now.
    open_halls: AtomicUsize,
    /// Whether the load has ended.
    over: AtomicBool,
    /// Who has yet to join which queue.
    joiners: Mutex<Vec<(Buyer, String)>>,
}

/// The load while it runs.
pub(crate) struct Load {
    clients: JoinSet<()>,
    world: Arc<World>,
}

impl World {
    pub(crate) fn new(web: Arc<Web>, stage: Stage, (seed, pace): (u64, Pace)) -> Arc<Self> {
        let dice = SeededIds::new(seed);
        let mut joiners: Vec<_> = stage
            .queues
            .iter()
            .flat_map(|queue| stage.buyers.iter().map(|buyer| (buyer.clone(), queue.clone())))
            .collect();
        for at in (1..joiners.len()).rev() {
            joiners.swap(at, dice.below(at as u64 + 1) as usize);
        }
        Arc::new(Self {
            web,
            stage,
            journal: Journal::default(),
            dice,
            pace,
            lives: AtomicUsize::new(1),
            open_halls: AtomicUsize::new(1),
            over: AtomicBool::new(false),
            joiners: Mutex::new(joiners),
        })
    }

    /// Opens halls as the load goes on, so that there is always something left, and something sold
    /// out. `done` of `all` is over.
    pub(crate) fn progress(&self, done: usize, all: usize) {
        self.lives.store(done + 1, Relaxed);
        let halls = 1 + done * self.stage.halls.len() / all;
        self.open_halls.store(halls.min(self.stage.halls.len()), Relaxed);
    }

    fn buyer(&self) -> &Buyer {
        &self.stage.buyers[self.dice.below(self.stage.buyers.len() as u64) as usize]
    }

    /// Whether it happens; it does `percent` times of a hundred.
    fn chance(&self, percent: u64) -> bool {
        self.dice.below(100) < percent
    }

    /// Mostly the newest hall, sometimes one of those before.
    fn hall(&self) -> &str {
        let open = self.open_halls.load(Relaxed);
        let back = if self.chance(60) { 0 } else { self.dice.below(open as u64) as usize };
        &self.stage.halls[open - 1 - back]
    }

    fn choice(&self) -> Value {
        match self.dice.below(10) {
            0..4 => self.seats(),
            4..7 => json!({"best_available": {"quantity": 1 + self.dice.below(3)}}),
            7..9 => {
                json!({"admissions": {"section": "floor", "quantity": 1 + self.dice.below(3)}})
            }
            _ => json!({"admissions": {"section": "foyer", "quantity": 1}}),
        }
    }

    /// One to three seats beside each other, anywhere.
    fn seats(&self) -> Value {
        let row = ROWS[self.dice.below(ROWS.len() as u64) as usize];
        let quantity = 1 + self.dice.below(3);
        let first = 1 + self.dice.below(SEATS_A_ROW + 1 - quantity);
        let seats: Vec<_> =
            (first..first + quantity).map(|number| format!("stalls/{row}/{number}")).collect();
        json!({"seats": seats})
    }

    fn new_wish(&self, buyer: &Buyer, body: Value) -> (usize, Call) {
        let key = format!("wish-{:016x}", self.dice.number());
        let call = Call::post("/api/v1/bookings", &body).by(&buyer.token).once(&key);
        let number = self.journal.wish(Wish {
            account: buyer.account.clone(),
            token: buyer.token.clone(),
            key,
            body,
            answered: false,
        });
        (number, call)
    }

    /// A card that pays; the refund of one of them takes its time.
    fn card(&self) -> &'static str {
        if self.chance(20) { "pm_card_pendingRefund" } else { "pm_card_visa" }
    }

    /// Asks for a booking until it is answered, or, sometimes, goes away once a try is lost: then
    /// nobody knows what became of it. Answers the booking, if there is one.
    async fn open(&self, wish: usize, call: &Call) -> Option<Value> {
        let (status, body) = loop {
            let heard = if self.chance(10) {
                // Twice at the same time, as by an impatient finger.
                let (first, second) = tokio::join!(self.web.ask(call), self.web.ask(call));
                if let Heard::Answer(status, body) = &second {
                    self.journal.answered(wish, *status, body);
                }
                first
            } else {
                self.web.ask(call).await
            };
            match heard {
                Heard::Answer(status, body) => break (status, body),
                Heard::Lost if self.chance(30) => return None,
                Heard::Lost => sleep(POLL).await,
            }
        };
        let booked = self.journal.answered(wish, status, &body);
        if self.chance(20) {
            let (status, body) = self.web.insist(call).await?;
            self.journal.answered(wish, status, &body);
        }
        booked.then_some(body)
    }

    /// Pays, and asks again when nothing is heard; a buyer may also lose patience.
    async fn pay(&self, booking: &Value, card: &str) {
        let Some(secret) = booking["client_secret"].as_str() else { return };
        while let Heard::Lost = self.web.pay(secret, card).await {
            if self.chance(10) {
                return;
            }
            sleep(POLL).await;
        }
    }

    /// Looks at a booking until it is as wanted, or the buyer's patience is over.
    async fn watch(&self, wish: usize, (buyer, booking): (&Buyer, &Value), wanted: &str) -> bool {
        let id = booking["booking_id"].as_str().unwrap();
        let look = Call::get(format!("/api/v1/bookings/{id}")).by(&buyer.token);
        let give_up = Instant::now() + PATIENCE;
        while Instant::now() < give_up && !self.over.load(Relaxed) {
            if let Heard::Answer(200, seen) = self.web.ask(&look).await {
                self.journal.seen(wish, &seen);
                if seen["status"] == wanted {
                    return true;
                }
            }
            sleep(POLL).await;
        }
        false
    }

    /// Does something else for a while.
    async fn dawdle(&self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until && !self.over.load(Relaxed) {
            sleep(POLL).await;
        }
    }

    async fn cancel(&self, wish: usize, (buyer, booking): (&Buyer, &Value)) {
        let id = booking["booking_id"].as_str().unwrap();
        let key = format!("cancel-{:016x}", self.dice.number());
        let cancel = Call::post(format!("/api/v1/bookings/{id}/cancel"), &json!({"reason": "ill"}));
        let cancelled = self.web.insist(&cancel.by(&buyer.token).once(&key)).await;
        if let Some((200, body)) = cancelled {
            self.journal.seen(wish, &body);
        }
    }

    /// One journey from a wish to wherever it leads.
    async fn journey(&self) {
        let buyer = self.buyer().clone();
        let mut body = json!({"event_id": self.hall(), "choice": self.choice()});
        if self.chance(40) && !self.hold(&buyer, &mut body).await {
            return;
        }
        let (wish, call) = self.new_wish(&buyer, body);
        let Some(booking) = self.open(wish, &call).await else { return };
        self.go_on(wish, &buyer, &booking).await;
    }

    /// Holds the places first; whether the buyer goes on to book them. Some walk away, some give
    /// them back, and some book though nobody knows whether they are held.
    async fn hold(&self, buyer: &Buyer, body: &mut Value) -> bool {
        let id = HoldId::new(&self.dice, SystemClock.now()).to_string();
        let path = format!("/api/v1/holds/{id}");
        let hold = Call::put(&path, body).by(&buyer.token);
        let heard = if self.chance(70) { self.web.insist(&hold).await } else { None };
        body["hold_id"] = json!(id);
        match heard {
            Some((200, _)) if self.chance(10) => false,
            Some((200, _)) if self.chance(10) => {
                let released = self.web.insist(&Call::delete(&path).by(&buyer.token)).await;
                released.is_some() && self.chance(50)
            }
            Some((200, _)) | None => true,
            Some((status, answer)) => {
                if !(400..=503).contains(&status) || status == 500 {
                    let words = format!("holding places was answered {status} {answer}");
                    self.journal.entries().surprises.push(words);
                }
                self.chance(30)
            }
        }
    }

    /// What a buyer may do with a booking.
    async fn go_on(&self, wish: usize, buyer: &Buyer, booking: &Value) {
        let fate = self.dice.below(20);
        match fate {
            0..2 => {}
            2 => {
                // About when the hold ends: whichever comes first, money and tickets have to fit.
                self.dawdle(Duration::from_millis(9_000 + self.dice.below(1_500))).await;
                self.pay(booking, self.card()).await;
            }
            3..5 => self.cancel(wish, (buyer, booking)).await,
            5 => {
                // Both at once.
                let (paid, cancelled) =
                    (self.pay(booking, self.card()), self.cancel(wish, (buyer, booking)));
                tokio::join!(paid, cancelled);
            }
            _ => {
                if fate < 9 {
                    self.pay(booking, "pm_card_chargeDeclined").await;
                }
                self.pay(booking, self.card()).await;
                if self.watch(wish, (buyer, booking), "confirmed").await && fate < 13 {
                    self.cancel(wish, (buyer, booking)).await;
                }
            }
        }
    }

    /// Joins a queue, and waits in it for a while.
    async fn queue(&self, buyer: &Buyer, event: &str) {
        let wished = self.chance(50);
        let wish = json!({"best_available": {"quantity": 1}});
        let body = if wished { json!({"wish": wish}) } else { json!({}) };
        let path = format!("/api/v1/events/{event}/queue");
        let join = Call::post(&path, &body).by(&buyer.token);
        let Some((status, seen)) = self.web.insist(&join).await else { return };
        if ![200, 201].contains(&status) {
            let words = format!("joining a queue was answered {status} {seen}");
            self.journal.entries().surprises.push(words);
            return;
        }
        let place = Place {
            event: event.to_owned(),
            account: buyer.account.clone(),
            token: buyer.token.clone(),
            over: false,
        };
        let place = self.journal.place(place, &seen);
        let look = Call::get(format!("{path}/place")).by(&buyer.token);
        let give_up = Instant::now() + PATIENCE;
        while Instant::now() < give_up && !self.over.load(Relaxed) {
            if let Heard::Answer(200, seen) = self.web.ask(&look).await
                && self.journal.place_seen(place, &seen)
            {
                return self.served(buyer, event, &seen).await;
            }
            sleep(POLL).await;
        }
    }

    /// Books with an admission, or pays for what was booked.
    async fn served(&self, buyer: &Buyer, event: &str, place: &Value) {
        if let Some(id) = place["booking_id"].as_str() {
            let look = Call::get(format!("/api/v1/bookings/{id}")).by(&buyer.token);
            if let Some((200, booking)) = self.web.insist(&look).await {
                self.pay(&booking, self.card()).await;
            }
            return;
        }
        let Some(token) = place["admission_token"].as_str() else { return };
        let choice = json!({"best_available": {"quantity": 1}});
        let body = json!({"event_id": event, "choice": choice, "admission_token": token});
        let (wish, call) = self.new_wish(buyer, body);
        let Some(booking) = self.open(wish, &call).await else { return };
        self.go_on(wish, buyer, &booking).await;
    }

    async fn work(&self) {
        while !self.over.load(Relaxed) {
            if self.journal.entries().wishes.len()
                >= self.pace.wishes_a_life * self.lives.load(Relaxed)
            {
                sleep(POLL).await;
                continue;
            }
            let joiner = if self.chance(12) { self.joiners.lock().unwrap().pop() } else { None };
            match joiner {
                Some((buyer, queue)) => self.queue(&buyer, &queue).await,
                None => self.journey().await,
            }
            sleep(Duration::from_millis(self.dice.below(PAUSE_MS))).await;
        }
    }

    /// Asks for everything once more, under the same keys: what is known must be answered as
    /// before, and what is not known must be answered.
    pub(crate) async fn ask_again(&self) {
        let wishes = self.journal.entries().wishes.clone();
        let again = wishes.into_iter().enumerate().map(|(number, wish)| async move {
            let call = Call::post("/api/v1/bookings", &wish.body).by(&wish.token).once(&wish.key);
            if let Some((status, body)) = self.web.insist(&call).await {
                self.journal.answered(number, status, &body);
            }
        });
        stream::iter(again).buffer_unordered(AT_ONCE).collect::<()>().await;
        let places = self.journal.entries().places.clone();
        let again = places.into_iter().enumerate().map(|(number, place)| async move {
            if place.over {
                return;
            }
            let look = Call::get(format!("/api/v1/events/{}/queue/place", place.event));
            if let Some((200, seen)) = self.web.insist(&look.by(&place.token)).await {
                self.journal.place_seen(number, &seen);
            }
        });
        stream::iter(again).buffer_unordered(AT_ONCE).collect::<()>().await;
    }
}

impl Load {
    /// Lets the clients begin.
    pub(crate) fn start(world: &Arc<World>) -> Self {
        let mut clients = JoinSet::new();
        for _ in 0..world.pace.clients {
            let world = world.clone();
            clients.spawn(async move { world.work().await });
        }
        Self { clients, world: world.clone() }
    }

    /// Has the clients finish what they are at.
    pub(crate) async fn end(mut self) {
        self.world.over.store(true, Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("a client failed");
        }
    }
}
