//! Buyers: one asks for places, pays at the provider, and asks for the booking until it is
//! confirmed; then for the next one. What they ask for.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    time::Duration,
};

use kernel::{Clock, HoldId, SystemClock, Timestamp};
use platform::SystemIds;
use rush::{FLOOR, Sale};
use tokio::time::{Instant, sleep};

use super::{
    connection::Connection,
    platform::{Choice, Hall, PLACES_AT_ONCE},
    stand::Stand,
    tally::{Course, Tally},
};
use crate::Failure;

pub(super) const STEPS: &[&str] = &["held", "paid", "confirmed", "looked", "whole"];
pub(super) const HELD: usize = 0;
pub(super) const PAID: usize = 1;
pub(super) const CONFIRMED: usize = 2;
pub(super) const LOOKED: usize = 3;
pub(super) const WHOLE: usize = 4;
/// Of the time that confirmations took lately, after how much one looks at the earliest; each as
/// much later as its turn says, so that those who paid at once do not come at once. Nearly all see
/// it then. When it was confirmed is told by the booking itself.
const FIRST_LOOK: f64 = 1.5;
/// How long one waits for the next time.
const NEXT_LOOK: f64 = 0.5;
/// Multiples of it, without their whole part, are turns that spread evenly from 0 to 1.
const GOLDEN_RATIO: f64 = 0.618_033_988_75;
const SHORTEST_WAIT: Duration = Duration::from_millis(2);
/// How long one looks for a booking.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much the last confirmation counts in what confirmations took lately: little, as those who
/// follow every wave come in waves.
const NEWS: f64 = 0.005;
const FIRST_GUESS_MS: f64 = 50.0;
/// Where much is sold at once, so many places of a hall.
const LARGEST_HALL: u32 = 100_000;
/// How long selling a hall out may take that is to be sold out.
const SALE_PATIENCE: Duration = Duration::from_secs(60);

/// Lets one account after the other buy until all places of a hall are sold.
pub(crate) async fn sell_out(stand: &Rc<Stand>, sale: Sale, hall: Hall) -> Result<(), Failure> {
    let now = Instant::now();
    let tally = Rc::new(Tally::new(STEPS, Course { from: now, until: now + SALE_PATIENCE })?);
    let wishes = Wishes::new(sale, (hall.choice, hall.places), 1);
    let mut buyers = crowd(stand, 1, (wishes, &tally))?;
    let buyer = buyers.pop().ok_or("there is no account")?;
    buyer.buy().await?;
    if tally.all(CONFIRMED) == u64::from(hall.places) {
        return Ok(());
    }
    Err(format!("a hall that is not sold out: {}", tally.refusals()).into())
}

/// Lets all accounts buy until so many tickets are sold, in halls of their own.
pub(crate) async fn sell(stand: &Rc<Stand>, tickets: u32) -> Result<(), Failure> {
    let halls = (0..tickets).step_by(LARGEST_HALL as usize);
    for places in halls.map(|sold| LARGEST_HALL.min(tickets - sold)) {
        let hall = Hall { choice: Choice::Counter, places, queue: false };
        let now = Instant::now();
        let tally = Rc::new(Tally::new(STEPS, Course { from: now, until: now + SALE_PATIENCE })?);
        let wishes = Wishes::new(stand.sale(hall).await?, (hall.choice, places), PLACES_AT_ONCE);
        let buyers = crowd(stand, u32::MAX, (wishes, &tally))?.into_iter();
        let crowd = buyers.map(|buyer| async move || buyer.buy().await).collect();
        stand.run(&tally, crowd).await?;
        if tally.all(CONFIRMED) != u64::from(places / PLACES_AT_ONCE) {
            return Err(format!("a hall that is not sold out: {}", tally.refusals()).into());
        }
    }
    Ok(())
}

/// The first `count` accounts as buyers.
pub(super) fn crowd(
    stand: &Rc<Stand>,
    count: u32,
    (wishes, tally): (Wishes, &Rc<Tally>),
) -> Result<Vec<Buyer>, Failure> {
    let lately = Rc::new(Cell::new(FIRST_GUESS_MS));
    let (run, wishes) = (infra::random_hex(4)?, Rc::new(wishes));
    let buyers = stand.bearers.iter().take(count as usize).enumerate();
    Ok(buyers
        .map(|(number, bearer)| Buyer {
            stand: stand.clone(),
            bearer: bearer.clone(),
            wishes: wishes.clone(),
            tally: tally.clone(),
            lately: lately.clone(),
            number,
            key: format!("bench-{run}-{number}"),
            made: Cell::new(0),
        })
        .collect())
}

/// What is asked for: as many places as there are, each seat once.
pub(super) struct Wishes {
    sale: Sale,
    choice: Choice,
    places: u32,
    /// How many places were not asked for yet.
    left: Cell<u32>,
    seats: RefCell<VecDeque<String>>,
}

impl Wishes {
    pub(super) fn new(mut sale: Sale, (choice, hall): (Choice, u32), places: u32) -> Self {
        let random = choice == Choice::Random;
        let seats = if random { spread(&mut sale.seats) } else { VecDeque::new() };
        Self { sale, choice, places, left: Cell::new(hall), seats: RefCell::new(seats) }
    }

    /// The body of a request; none if all was asked for.
    fn next(&self) -> Option<String> {
        let places = self.places;
        self.left.set(self.left.get().checked_sub(places)?);
        let choice = match self.choice {
            Choice::Counter => {
                format!(r#"{{"admissions":{{"section":"{FLOOR}","quantity":{places}}}}}"#)
            }
            Choice::Best => format!(r#"{{"best_available":{{"quantity":{places}}}}}"#),
            Choice::Random => {
                let mut seats = self.seats.borrow_mut();
                let seats = (0..places).map(|_| Some(format!("{:?}", seats.pop_front()?)));
                format!(r#"{{"seats":[{}]}}"#, seats.collect::<Option<Vec<_>>>()?.join(","))
            }
        };
        Some(format!(r#"{{"event_id":"{}","choice":{choice}}}"#, self.sale.event_id))
    }
}

/// The seats in an order that goes all over the hall.
fn spread(seats: &mut [String]) -> VecDeque<String> {
    /// A prime beyond any hall's size, so that every seat comes up.
    const STRIDE: usize = 15_485_863;
    let count = seats.len();
    (0..count).filter_map(|at| seats.get_mut(at * STRIDE % count).map(std::mem::take)).collect()
}

pub(super) struct Buyer {
    stand: Rc<Stand>,
    bearer: String,
    wishes: Rc<Wishes>,
    tally: Rc<Tally>,
    /// How long confirmations took lately, in milliseconds.
    lately: Rc<Cell<f64>>,
    number: usize,
    key: String,
    made: Cell<u64>,
}

impl Buyer {
    /// Makes one booking after the other until the course or the hall is over.
    pub(super) async fn buy(&self) -> Result<(), Failure> {
        let mut gateway = Connection::open(self.stand.gateway_at).await?;
        let mut provider = Connection::open(self.stand.provider_at).await?;
        while self.tally.goes_on() {
            let Some(wish) = self.wishes.next() else { return Ok(()) };
            let began = Instant::now();
            let Some((booking, secret)) = self.open(&mut gateway, &wish).await? else { continue };
            let asked = Instant::now();
            if !self.pay(&mut provider, &secret).await? {
                continue;
            }
            self.tally.did(PAID, asked);
            let paid_at = SystemClock.now();
            if let Some(confirmed_at) = self.await_confirmation(&mut gateway, &booking).await? {
                let took = confirmed_at.since(paid_at);
                self.tally.took(CONFIRMED, took);
                self.tally.did(WHOLE, began);
                let took_ms = took.as_secs_f64() * 1_000.0;
                self.lately.set(self.lately.get() * (1.0 - NEWS) + took_ms * NEWS);
            }
        }
        Ok(())
    }

    /// Holds places again and again, and leaves it at that.
    pub(super) async fn hold(&self) -> Result<(), Failure> {
        let mut gateway = Connection::open(self.stand.gateway_at).await?;
        while self.tally.goes_on() {
            let Some(wish) = self.wishes.next() else { break };
            let began = Instant::now();
            let head = hold_head(&self.bearer);
            let answer = gateway.ask(&[&head], &wish).await?;
            if answer.status == 200 {
                self.tally.did(HELD, began);
            } else {
                self.tally.refused(answer.refusal());
            }
        }
        Ok(())
    }

    /// Asks for places: the booking's id and its client secret, unless it is refused.
    async fn open(
        &self,
        gateway: &mut Connection,
        wish: &str,
    ) -> Result<Option<(String, String)>, Failure> {
        let began = Instant::now();
        self.made.set(self.made.get() + 1);
        let key = format!("idempotency-key: {}-{}\r\n", self.key, self.made.get());
        let head = [
            "POST /api/v1/bookings HTTP/1.1\r\ncontent-type: application/json\r\n",
            &self.bearer,
            &key,
        ];
        let answer = gateway.ask(&head, wish).await?;
        if answer.status != 201 {
            self.tally.refused(answer.refusal());
            return Ok(None);
        }
        let found = (answer.text("booking_id"), answer.text("client_secret"));
        let (Some(booking), Some(secret)) = found else {
            // Still being opened: its hold is not what was waited for.
            self.tally.refused(format!("201 {}", answer.text("status").unwrap_or_default()));
            return Ok(None);
        };
        let found = (booking.to_owned(), secret.to_owned());
        self.tally.did(HELD, began);
        Ok(Some(found))
    }

    async fn pay(&self, provider: &mut Connection, secret: &str) -> Result<bool, Failure> {
        let intent = secret.split("_secret_").next().unwrap_or_default();
        let head = format!(
            "POST /v1/payment_intents/{intent}/confirm HTTP/1.1\r\n\
             content-type: application/x-www-form-urlencoded\r\n"
        );
        let form = format!(
            "key={}&client_secret={secret}&payment_method=pm_card_visa",
            self.stand.directions.publishable_key
        );
        let answer = provider.ask(&[&head], &form).await?;
        if answer.status != 200 {
            self.tally.refused(format!("pay: {}", answer.refusal()));
        }
        Ok(answer.status == 200)
    }

    async fn await_confirmation(
        &self,
        gateway: &mut Connection,
        booking: &str,
    ) -> Result<Option<Timestamp>, Failure> {
        let line = format!("GET /api/v1/bookings/{booking} HTTP/1.1\r\n");
        let wait = |share| Duration::from_secs_f64(self.lately.get() * share / 1_000.0);
        let give_up = Instant::now() + PATIENCE;
        let turn = (self.number as f64 + self.made.get() as f64) * GOLDEN_RATIO;
        let mut pause = wait(FIRST_LOOK + turn.fract());
        while Instant::now() < give_up {
            sleep(pause.max(SHORTEST_WAIT)).await;
            let asked = Instant::now();
            let answer = gateway.ask(&[&line, &self.bearer], "").await?;
            self.tally.did(LOOKED, asked);
            match answer.text("status") {
                Some("confirmed") => {
                    let at = answer.text("confirmed_at").unwrap_or_default();
                    return Ok(Some(Timestamp::parse(at)?));
                }
                Some("payment_pending" | "payment_processing") => pause = wait(NEXT_LOOK),
                other => {
                    let other = other.map_or_else(|| answer.refusal(), str::to_owned);
                    self.tally.refused(format!("booking: {other}"));
                    return Ok(None);
                }
            }
        }
        self.tally.refused("booking: never confirmed".to_owned());
        Ok(None)
    }
}

/// The head of a request that holds places, under an id of its own.
pub(super) fn hold_head(bearer: &str) -> String {
    let id = HoldId::new(&SystemIds, SystemClock.now());
    format!("PUT /api/v1/holds/{id} HTTP/1.1\r\ncontent-type: application/json\r\n{bearer}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seat_comes_up_once() {
        let mut seats: Vec<_> = (0..1_000).map(|number| number.to_string()).collect();
        let spread = spread(&mut seats);
        let different: std::collections::HashSet<_> = spread.iter().collect();
        assert_eq!((spread.len(), different.len()), (1_000, 1_000));
        assert!(!different.contains(&String::new()));
    }
}
