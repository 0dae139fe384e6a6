//! The sale: looking, asking for places.

use std::time::Duration;

use bytes::Bytes;
use kernel::{Clock, HoldId, SystemClock};
use platform::SystemIds;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::{Life, World};
use crate::{
    facts::Kind,
    http::{Call, Lost},
    journal::{Told, body_hash},
    model::{Heard, Way, Wish},
    news::Topic,
    overload::LATE_HOLD,
    stage::FLOOR,
    tally::Step,
};

/// A booking as it was answered.
#[derive(Debug, Deserialize)]
pub(super) struct Booking {
    #[serde(rename = "booking_id")]
    pub(super) id: String,
    reference: String,
    pub(super) status: String,
    #[serde(default)]
    total: Option<Money>,
    #[serde(default)]
    pub(super) places: Vec<Place>,
    #[serde(default)]
    pub(super) client_secret: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Money {
    minor: i64,
    currency: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Place {
    #[serde(default)]
    pub(super) seat: Option<String>,
}

/// Places that are held, as it was answered.
#[derive(Debug, Deserialize)]
struct Hold {
    #[serde(default)]
    total: Option<Money>,
    places: Vec<Place>,
}

/// A wish as it was sent; the same again is the same request.
#[derive(Debug)]
pub(super) struct Asked {
    wish: Wish,
    pub(super) key: String,
    /// What asks for the booking.
    pub(super) body: Bytes,
    /// What asks for the hold, where there is one first: the path and the body.
    hold: Option<(String, Bytes)>,
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

/// How often a booking is asked for that is still being opened.
const OPENING_POLL: Duration = Duration::from_millis(200);
const OPENING_PATIENCE: Duration = Duration::from_secs(30);

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
        let call = match &asked.hold {
            Some((path, body)) => Call::put(path, body.clone())?,
            None => Call::post("/api/v1/bookings", asked.body.clone())?.once(&asked.key)?,
        };
        self.wish = Some(asked);
        let answer = self.ask(call).await?;
        match answer.status {
            200 => return self.held(read(&answer.body)?).await,
            201 => return self.booked(read(&answer.body)?).await,
            _ => {}
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
        let hold = world.scenario.behaviour.holds_first.then(|| {
            let id = HoldId::new(&SystemIds, SystemClock.now()).to_string();
            let asked = (format!("/api/v1/holds/{id}"), body.to_string().into());
            if let Some(body) = body.as_object_mut() {
                body.insert("hold_id".to_owned(), id.into());
            }
            asked
        });
        let key = format!("rush-{}-{}-{}", world.run, self.number, wish.number);
        Asked { wish, key, body: body.to_string().into(), hold }
    }

    /// The places are held, and there is no booking yet.
    async fn held(&mut self, hold: Hold) -> Result<Heard, Lost> {
        self.has(&hold.places);
        if hold.total.is_some_and(|total| total.minor == 0) {
            return self.book_held().await;
        }
        Ok(Heard::Held { free: false })
    }

    /// The places are held and booked, or will be in a moment.
    async fn booked(&mut self, booking: Booking) -> Result<Heard, Lost> {
        let Some(booking) = self.opened(booking).await? else {
            self.wish = None;
            return Ok(Heard::SeatTaken);
        };
        self.has(&booking.places);
        let free = booking.client_secret.is_none();
        self.since = self.intended;
        self.booking = Some(booking);
        Ok(Heard::Held { free })
    }

    /// A booking once it is open; none if it has come to an end instead.
    pub(super) async fn opened(&mut self, booking: Booking) -> Result<Option<Booking>, Lost> {
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
            return Ok(None);
        }
        Ok(Some(booking))
    }

    /// Counts places that are held now.
    fn has(&self, places: &[Place]) {
        let world = self.world;
        self.took(Step::Hold);
        let late = u64::from(world.now().saturating_sub(self.intended) > LATE_HOLD);
        world.board.take(places.iter().filter_map(|place| place.seat.as_deref()));
        world.tally.second(world.now(), |second| {
            second.held += 1;
            second.late += late;
        });
        let places = places.len() as u64;
        world.tally.count(|counts| counts.held_places += places);
    }

    pub(super) async fn booking(&mut self, id: &str) -> Result<Booking, Lost> {
        let answer = self.ask(Call::get(&format!("/api/v1/bookings/{id}"))?).await?;
        if answer.status != 200 {
            let heard = self.refusal("booking", &answer).await?;
            return Err(Lost(format!("asking for a booking: {heard:?}")));
        }
        serde_json::from_slice(&answer.body).map_err(|error| Lost(format!("no booking: {error}")))
    }

    /// Writes down what was answered.
    pub(super) fn told(&self, booking: &Booking, http: u16) {
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

pub(super) fn read<T: for<'t> Deserialize<'t>>(body: &Bytes) -> Result<T, Lost> {
    serde_json::from_slice(body).map_err(|error| Lost(format!("no booking and no hold: {error}")))
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
