//! Sets places aside, all or none. The hottest verb: requests that meet are decided in one
//! transaction.

mod batch;

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use kernel::{AccountId, Choice, EventId, Failure, HoldId, Place, SeatRef};
use wire::Context;

pub(crate) use self::batch::{Decision, Wish, decide};
use crate::{
    app::{App, operators_only},
    counters::Outcome,
    domain::{
        choose::Best,
        hold::{Hold, HoldStatus, Places},
    },
    error::Error,
    maps::{Room, Writing},
    ops::expire_holds,
    store::{holds, inventories},
};

/// After so many choices that the database refused, the map has missed something.
const CONFLICTS_BEFORE_READING: u32 = 3;

/// Which places, for whom, how long.
#[derive(Debug, Clone)]
pub struct HoldSeats {
    /// Made by the caller, so that a repeat finds the hold.
    pub hold_id: HoldId,
    /// The event.
    pub event_id: EventId,
    /// For whom.
    pub account_id: AccountId,
    /// Which places.
    pub choice: Choice,
    /// For how long, in seconds.
    pub ttl_seconds: u32,
}

/// A hold that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The hold.
    pub hold: Hold,
    /// Its places, each with its price category.
    pub places: Vec<Place>,
}

/// Sets places aside until the hold expires. A repeat gets the same hold.
///
/// # Errors
/// `SEAT_TAKEN` or `SOLD_OUT`, with what is still free; `HOLD_MISMATCH` if the id was used for
/// another wish; `HOLD_LOST` if it was used before and is over.
pub async fn hold_seats(app: &App, context: &Context, command: HoldSeats) -> Result<Held, Error> {
    operators_only(context)?;
    let held = try_hold(app, context, &command).await;
    let outcome = held.as_ref().map_or_else(Error::reason, |_| "HELD");
    app.counted.holds.get_or_create(&Outcome { outcome }).inc();
    held
}

async fn try_hold(app: &App, context: &Context, command: &HoldSeats) -> Result<Held, Error> {
    let choice = command.choice.clone().checked()?;
    let ttl = command.ttl_seconds;
    if ttl == 0 || ttl > app.config.max_hold_seconds {
        let detail = format!("1 to {}", app.config.max_hold_seconds);
        return Err(Failure::invalid("ttl_seconds", detail).into());
    }
    let room = app.maps.room(command.event_id).await?;
    let inventory = &room.inventory;
    if choice.quantity() > inventory.max_per_hold {
        let detail = format!("at most {} places of this event", inventory.max_per_hold);
        return Err(Failure::invalid("choice", detail).into());
    }
    inventory.plan.check(&choice)?;
    if inventory.ends_at <= app.now() {
        return Err(Error::EventEnded);
    }
    let try_for = Try { app, context, command, room: &room, fingerprint: fingerprint(&choice) };
    let hold = try_for.decide(&choice).await?;
    let places = hold.places.expand(&inventory.plan);
    Ok(Held { hold, places })
}

/// One request on its way to a decision.
struct Try<'a> {
    app: &'a App,
    context: &'a Context,
    command: &'a HoldSeats,
    room: &'a Arc<Room>,
    fingerprint: String,
}

impl Try<'_> {
    async fn decide(&self, choice: &Choice) -> Result<Hold, Error> {
        match choice {
            Choice::Seats(seats) => self.hold(&Places::seats(seats.clone())).await,
            Choice::Admissions { section, quantity } => self.admit(section, *quantity).await,
            Choice::BestAvailable { quantity, section, category, wheelchair } => {
                let (section, category) = (section.as_deref(), category.as_deref());
                let areas = self.room.inventory.plan.admissions_meant(section, category);
                if *wheelchair == 0 && !areas.is_empty() {
                    return self.admit_anywhere(&areas, *quantity).await;
                }
                let (quantity, wheelchair) = (*quantity as usize, *wheelchair as usize);
                self.hold_best(&Best { quantity, section, category, wheelchair }).await
            }
        }
    }

    async fn admit(&self, section: &str, quantity: u32) -> Result<Hold, Error> {
        self.hold(&Places::Admissions { section: section.to_owned(), quantity }).await
    }

    /// Admissions to the first of `areas` that has room.
    async fn admit_anywhere(&self, areas: &[&str], quantity: u32) -> Result<Hold, Error> {
        let mut most = 0;
        for section in areas {
            match self.admit(section, quantity).await {
                Err(Error::SoldOut { available }) => most = most.max(available),
                decided => return decided,
            }
        }
        Err(Error::SoldOut { available: most })
    }

    /// These places, or none.
    async fn hold(&self, places: &Places) -> Result<Hold, Error> {
        let mut last = busy();
        for _ in 0..self.app.config.max_tries {
            let writing = self.room.writing();
            let (refusal, lapsed) = match self.ask(places).await? {
                Decision::Held(hold, _) | Decision::Repeated(hold) => return Ok(hold),
                Decision::Again => continue,
                Decision::Taken { seats, lapsed } => {
                    self.room.mark_taken(&seats);
                    let available = self.room.available();
                    (Error::SeatTaken { seats, available }, lapsed)
                }
                Decision::SoldOut { free } => {
                    let lapsed = self.any_lapsed().await?;
                    (Error::SoldOut { available: free }, lapsed)
                }
                Decision::Mismatch => return Err(Error::HoldMismatch),
                Decision::Over(status) => return Err(Error::HoldLost(status)),
            };
            drop(writing);
            if !lapsed {
                return Err(refusal);
            }
            // A hold that has lapsed stands in the way until it is cleared away, here or elsewhere.
            expire_holds(self.app).await?;
            last = refusal;
        }
        Err(last)
    }

    /// The best seats there are: the map chooses, the database decides, and what it refuses is
    /// chosen anew.
    async fn hold_best(&self, best: &Best<'_>) -> Result<Hold, Error> {
        self.room.catch_up(&self.app.db, 1).await?;
        let (mut certain, mut conflicts) = (false, 0);
        for _ in 0..self.app.config.max_tries {
            let chosen = match self.room.choose(best) {
                Ok(chosen) => chosen,
                Err(open) if certain => {
                    let available = i64::try_from(open).unwrap_or(i64::MAX);
                    return Err(Error::SoldOut { available });
                }
                Err(_) => match self.look_again().await? {
                    Found::Hold(hold) => return Ok(hold),
                    found => {
                        certain = matches!(found, Found::Nothing);
                        continue;
                    }
                },
            };
            certain = false;
            match self.ask_for(&chosen).await? {
                Decision::Held(hold, _) | Decision::Repeated(hold) => return Ok(hold),
                Decision::Taken { seats, .. } => {
                    self.room.mark_taken(&seats);
                    conflicts += 1;
                }
                Decision::Again | Decision::SoldOut { .. } => {}
                Decision::Mismatch => return Err(Error::HoldMismatch),
                Decision::Over(status) => return Err(Error::HoldLost(status)),
            }
            if conflicts % CONFLICTS_BEFORE_READING == 0 && conflicts > 0 {
                drop(chosen);
                self.catch_up().await?;
            }
        }
        Err(busy())
    }

    /// Makes sure that the map has what the database has.
    async fn catch_up(&self) -> Result<(), Error> {
        let event_id = self.command.event_id;
        let read = self
            .app
            .db
            .read(move |tx| Box::pin(async move { inventories::tally(tx, event_id).await }));
        let tally: Result<_, db::Error> = read.await;
        self.room.catch_up(&self.app.db, tally?.map_or(0, |tally| tally.version)).await
    }

    async fn ask_for(&self, chosen: &Writing<'_>) -> Result<Decision, Error> {
        let plan = &self.room.inventory.plan;
        let seats: Vec<SeatRef> = chosen.spots.iter().filter_map(|spot| plan.seat(*spot)).collect();
        if seats.len() != chosen.spots.len() {
            return Err(Failure::internal("a chosen seat has no name").into());
        }
        self.ask(&Places::seats(seats)).await
    }

    async fn ask(&self, places: &Places) -> Result<Decision, Error> {
        let now = self.app.now();
        let ttl = Duration::from_secs(self.command.ttl_seconds.into());
        let hold = Hold {
            hold_id: self.command.hold_id,
            event_id: self.command.event_id,
            account_id: self.command.account_id,
            fingerprint: self.fingerprint.clone(),
            places: places.clone(),
            status: HoldStatus::Held,
            expires_at: now.plus(ttl),
        };
        let wish = Wish { hold, now, context: self.context.clone() };
        let decision = self.app.holds.call(wish).await?;
        if let Decision::Held(hold, change) = &decision {
            self.app.fresh.put(hold.clone());
            self.room.apply(change);
            self.app.outbox().wake();
        }
        Ok(decision)
    }

    async fn any_lapsed(&self) -> Result<bool, Error> {
        let now = self.app.now();
        let db = &self.app.db;
        let lapsed = db.read(move |tx| Box::pin(async move { holds::any_lapsed(tx, now).await }));
        let lapsed: Result<bool, db::Error> = lapsed.await;
        Ok(lapsed?)
    }

    /// Before anybody is told that it is sold out: asks the database whether the map has missed
    /// something.
    async fn look_again(&self) -> Result<Found, Error> {
        let (hold_id, event_id, now) =
            (self.command.hold_id, self.command.event_id, self.app.now());
        let read = self.app.db.read(move |tx| {
            Box::pin(async move {
                let hold = holds::find(tx, &[hold_id]).await?.remove(&hold_id);
                let tally = inventories::tally(tx, event_id).await?;
                Ok::<_, db::Error>((hold, tally, holds::any_lapsed(tx, now).await?))
            })
        });
        let (hold, tally, lapsed): (Option<Hold>, _, bool) = read.await?;
        if let Some(hold) = hold {
            return self.recognise(hold);
        }
        if lapsed {
            expire_holds(self.app).await?;
            return Ok(Found::Changed);
        }
        let version = tally.map_or(0, |tally| tally.version);
        // Writes of this process come into the map as soon as they are decided; some may give seats
        // back.
        if self.room.settled().await {
            return Ok(Found::Changed);
        }
        if !self.room.has(version) {
            self.room.catch_up(&self.app.db, version).await?;
            return Ok(Found::Changed);
        }
        Ok(Found::Nothing)
    }

    /// The hold that an earlier request of this id was given.
    fn recognise(&self, hold: Hold) -> Result<Found, Error> {
        let same = hold.event_id == self.command.event_id
            && hold.account_id == self.command.account_id
            && hold.fingerprint == self.fingerprint;
        match hold.status {
            _ if !same => Err(Error::HoldMismatch),
            HoldStatus::Held | HoldStatus::Issued => Ok(Found::Hold(hold)),
            status => Err(Error::HoldLost(status)),
        }
    }
}

/// What a second look found.
enum Found {
    /// The request was answered before.
    Hold(Hold),
    /// The map has changed since.
    Changed,
    /// The map has every change that the database has.
    Nothing,
}

fn busy() -> Error {
    Failure::unavailable("others were faster too often").retry_after(200).into()
}

/// A digest of what is wished for, the same for the same seats in any order.
fn fingerprint(choice: &Choice) -> String {
    let text = match choice {
        Choice::Seats(seats) => {
            let mut sorted: Vec<&str> = seats.iter().map(SeatRef::as_str).collect();
            sorted.sort_unstable();
            format!("seats\n{}", sorted.join("\n"))
        }
        Choice::BestAvailable { quantity, section, category, wheelchair } => {
            format!("best\n{quantity}\n{wheelchair}\n{section:?}\n{category:?}")
        }
        Choice::Admissions { section, quantity } => format!("admissions\n{quantity}\n{section}"),
    };
    let digest = digest(&SHA256, text.as_bytes());
    URL_SAFE_NO_PAD.encode(digest.as_ref().get(..16).unwrap_or_default())
}
