//! The sale: looking, asking for places, paying, waiting for tickets.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::{Life, World, queue::news};
use crate::{
    facts::Kind,
    http::{Call, Lost},
    journal::{Told, body_hash},
    model::{Heard, Way, Wish},
    news::{News, Topic},
    overload::{LATE_CONFIRMATION, LATE_HOLD},
    stage::FLOOR,
    tally::Step,
};

/// A booking as it was answered.
#[derive(Debug, Deserialize)]
pub(super) struct Booking {
    #[serde(rename = "booking_id")]
    pub(super) id: String,
    reference: String,
    status: String,
    #[serde(default)]
    total: Option<Money>,
    #[serde(default)]
    places: Vec<Place>,
    #[serde(default)]
    client_secret: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Money {
    minor: i64,
    currency: String,
}

#[derive(Debug, Deserialize)]
struct Place {
    #[serde(default)]
    seat: Option<String>,
}

/// A wish as it was sent; the same again is the same request.
#[derive(Debug)]
pub(super) struct Asked {
    wish: Wish,
    key: String,
    body: Bytes,
}

#[derive(Deserialize)]
struct Availability {
    sections: Vec<Section>,
}

#[derive(Deserialize)]
struct Section {
    section: String,
    available: u32,
}

/// How long after the payment those first ask who are not told.
const FIRST_LOOK: Duration = Duration::from_millis(250);
/// How often a booking is asked for that is still being opened.
const OPENING_POLL: Duration = Duration::from_millis(200);
const OPENING_PATIENCE: Duration = Duration::from_secs(30);
/// How much more seldom those ask who are told over a socket.
const TOLD: u32 = 5;
const GOOD_CARD: &str = "pm_card_visa";
const BAD_CARD: &str = "pm_card_chargeDeclined";

impl Wish {
    fn kind(&self) -> Kind {
        if self.way == Way::Admissions { Kind::Admissions } else { Kind::Seats }
    }
}

impl Life<'_> {
    pub(super) async fn look(&mut self) -> Result<Heard, Lost> {
        let path = format!("/api/v1/events/{}/availability?counts_only=true", self.world.event_id);
        let answer = self.ask(Call::get(&path)?).await?;
        if answer.status != 200 {
            return self.refusal("look", &answer).await;
        }
        self.took(Step::Look);
        let seen: Availability = serde_json::from_slice(&answer.body)
            .map_err(|error| Lost(format!("no availability: {error}")))?;
        let (mut seats, mut admissions) = (0, 0);
        for section in &seen.sections {
            *(if section.section == FLOOR { &mut admissions } else { &mut seats }) +=
                section.available;
        }
        if seats + admissions == 0 {
            self.world.sold_out();
        }
        Ok(Heard::Free { seats, admissions })
    }

    pub(super) async fn book(&mut self, wish: Wish) -> Result<Heard, Lost> {
        let world = self.world;
        let repeated = self.wish.take().filter(|asked| asked.wish.number == wish.number);
        let asked = match repeated {
            Some(asked) => asked,
            None => {
                world.facts.asks(wish.kind(), wish.places);
                self.asked(wish)
            }
        };
        let call = Call::post("/api/v1/bookings", asked.body.clone())?.once(&asked.key)?;
        self.wish = Some(asked);
        let answer = self.ask(call).await?;
        if answer.status == 201 {
            let booking = serde_json::from_slice(&answer.body)
                .map_err(|error| Lost(format!("no booking: {error}")))?;
            return self.held(booking).await;
        }
        let heard = self.refusal("hold", &answer).await?;
        match heard {
            Heard::PutOff { .. } | Heard::Lost => return Ok(heard),
            Heard::SoldOut => world.facts.refused_as_sold_out(wish.kind(), wish.places),
            _ => world.facts.refused(wish.kind(), wish.places),
        }
        self.took(Step::Refusal);
        world.tally.second(world.now(), |second| second.refused += 1);
        self.wish = None;
        Ok(heard)
    }

    pub(super) async fn pay(&mut self, good: bool) -> Result<Heard, Lost> {
        let world = self.world;
        let booking = self.booking.as_ref().ok_or_else(|| Lost("nothing to pay".into()))?;
        let secret = booking.client_secret.as_deref().unwrap_or_default();
        let intent = secret.split("_secret_").next().unwrap_or_default();
        let form = [
            ("key", world.publishable_key.as_str()),
            ("client_secret", secret),
            ("payment_method", if good { GOOD_CARD } else { BAD_CARD }),
        ];
        let call = Call::form(&format!("/v1/payment_intents/{intent}/confirm"), &form)?;
        if self.tickets.is_none() {
            self.tickets = Some(world.news.subscribe(Topic::Booking(booking.id.clone())));
        }
        self.since = self.intended;
        let answer = world.ask(&world.provider, &call, true).await?;
        Ok(match answer.status {
            200 => {
                self.took(Step::Pay);
                world.tally.second(world.now(), |second| second.paid += 1);
                Heard::Paid
            }
            402 => {
                self.took(Step::Pay);
                world.tally.count(|counts| counts.declined += 1);
                Heard::Declined
            }
            429 | 500.. => Heard::Lost,
            status => {
                world.tally.refused("pay", &format!("provider {status}"));
                world.tally.count(|counts| counts.lapsed += 1);
                Heard::Lapsed
            }
        })
    }

    pub(super) async fn await_tickets(&mut self, until: Duration) -> Result<Heard, Lost> {
        let world = self.world;
        let told = world.has_socket(self.account) && self.tickets.is_some();
        let period = world.scenario.poll_period;
        let first = if told { period * TOLD } else { FIRST_LOOK };
        let mut next = Instant::now() + first;
        loop {
            let heard = match news(&mut self.tickets, next.min(world.at(until))).await {
                Some(News::Confirmed) => Some(Heard::Ticketed),
                Some(News::Over) => Some(Heard::Lapsed),
                Some(News::Admitted { .. }) => None,
                None if world.now() >= until => return Ok(Heard::TimeUp),
                None => {
                    next += if told { period * TOLD } else { period };
                    self.my_booking().await?
                }
            };
            match heard {
                Some(Heard::Ticketed) => {
                    self.ticketed();
                    return Ok(Heard::Ticketed);
                }
                Some(heard) => {
                    world.tally.count(|counts| counts.lapsed += 1);
                    return Ok(heard);
                }
                None => {}
            }
        }
    }

    fn asked(&self, wish: Wish) -> Asked {
        let world = self.world;
        let choice = match wish.way {
            Way::Seats(salt) => json!({"seats": world.board.pick(salt, wish.places)}),
            Way::Best => json!({"best_available": {"quantity": wish.places}}),
            Way::Admissions => {
                json!({"admissions": {"section": FLOOR, "quantity": wish.places}})
            }
        };
        let mut body = json!({"event_id": world.event_id, "choice": choice});
        if let (Some(body), Some(token)) = (body.as_object_mut(), &self.admission) {
            body.insert("admission_token".to_owned(), token.as_str().into());
        }
        let key = format!("rush-{}-{}-{}", world.run, self.number, wish.number);
        Asked { wish, key, body: body.to_string().into() }
    }

    /// The places are held, or will be in a moment.
    async fn held(&mut self, booking: Booking) -> Result<Heard, Lost> {
        let world = self.world;
        self.told(&booking, 201);
        self.tickets = Some(world.news.subscribe(Topic::Booking(booking.id.clone())));
        let mut booking = booking;
        let give_up = Instant::now() + OPENING_PATIENCE;
        while ["pending", "reserving", "seats_reserved"].contains(&booking.status.as_str()) {
            if Instant::now() > give_up {
                return Err(Lost("the booking is never opened".into()));
            }
            tokio::time::sleep(OPENING_POLL).await;
            booking = self.booking(&booking.id).await?;
        }
        if !["payment_pending", "payment_processing", "confirmed"]
            .contains(&booking.status.as_str())
        {
            world.tally.refused("hold", &booking.status);
            self.wish = None;
            return Ok(Heard::SeatTaken);
        }
        self.took(Step::Hold);
        let late = u64::from(world.now().saturating_sub(self.intended) > LATE_HOLD);
        world.board.take(booking.places.iter().filter_map(|place| place.seat.as_deref()));
        world.tally.second(world.now(), |second| {
            second.held += 1;
            second.late += late;
        });
        let places = booking.places.len() as u64;
        world.tally.count(|counts| counts.held_places += places);
        let free = booking.client_secret.is_none();
        self.since = self.intended;
        self.booking = Some(booking);
        Ok(Heard::Held { free })
    }

    /// What has become of the own booking, if it has come to an end.
    async fn my_booking(&mut self) -> Result<Option<Heard>, Lost> {
        let Some(id) = self.booking.as_ref().map(|booking| booking.id.clone()) else {
            return Ok(Some(Heard::Refused));
        };
        let booking = self.booking(&id).await?;
        Ok(match booking.status.as_str() {
            "confirmed" => Some(Heard::Ticketed),
            "expired" | "failed" | "cancelled" => Some(Heard::Lapsed),
            _ => None,
        })
    }

    async fn booking(&self, id: &str) -> Result<Booking, Lost> {
        let answer = self.ask(Call::get(&format!("/api/v1/bookings/{id}"))?).await?;
        if answer.status != 200 {
            let heard = self.refusal("booking", &answer).await?;
            return Err(Lost(format!("asking for a booking: {heard:?}")));
        }
        serde_json::from_slice(&answer.body).map_err(|error| Lost(format!("no booking: {error}")))
    }

    fn ticketed(&mut self) {
        let world = self.world;
        let Some(mut booking) = self.booking.take() else { return };
        let took = world.now().saturating_sub(self.since);
        world.tally.took(Step::Confirmation, took);
        world.tally.second(world.now(), |second| {
            second.ticketed += 1;
            second.late += u64::from(took > LATE_CONFIRMATION);
        });
        let places = booking.places.len() as u64;
        world.tally.count(|counts| counts.ticketed_places += places);
        for place in &booking.places {
            match &place.seat {
                Some(seat) => world.facts.sold_seat(seat, &booking.id),
                None => world.facts.sold_admission(),
            }
        }
        "confirmed".clone_into(&mut booking.status);
        self.told(&booking, 200);
    }

    /// Writes down what was answered.
    fn told(&self, booking: &Booking, http: u16) {
        let (Some(asked), Some(account)) =
            (&self.wish, self.world.accounts.get(self.account as usize))
        else {
            return;
        };
        self.world.journal.note(&Told::Booking {
            account: &account.id,
            key: &asked.key,
            body: body_hash(&asked.body),
            http,
            booking: &booking.id,
            reference: &booking.reference,
            status: &booking.status,
            total_minor: booking.total.as_ref().map(|total| total.minor),
            currency: booking.total.as_ref().map(|total| total.currency.as_str()),
        });
    }
}

impl World {
    /// Somebody sees that nothing is free.
    fn sold_out(&self) {
        let now = self.now();
        self.tally.count(|counts| {
            counts.sold_out_at.get_or_insert(now);
        });
    }
}
