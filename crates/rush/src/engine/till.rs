//! The till: booking what is held, paying, waiting for tickets.

use std::time::Duration;

use tokio::time::Instant;

use super::{Life, Line, queue::news, sale::read};
use crate::{
    http::{Call, Lost},
    model::Heard,
    news::{News, Topic},
    overload::LATE_CONFIRMATION,
    tally::Step,
};

/// How long after the payment those first ask who are not told.
const FIRST_LOOK: Duration = Duration::from_millis(250);
/// How much more seldom those ask who are told over a socket.
const TOLD: u32 = 5;
const GOOD_CARD: &str = "pm_card_visa";
const BAD_CARD: &str = "pm_card_chargeDeclined";

impl Life<'_> {
    /// Books the places that are held.
    pub(super) async fn book_held(&mut self) -> Result<Heard, Lost> {
        let world = self.world;
        let asked = self.wish.as_ref().ok_or_else(|| Lost("nothing to pay".into()))?;
        let call = Call::post("/api/v1/bookings", asked.body.clone())?.once(&asked.key)?;
        let answer = self.ask(call).await?;
        if answer.status == 201
            && let Some(booking) = self.opened(read(&answer.body)?).await?
        {
            self.took(Step::Book);
            let free = booking.client_secret.is_none();
            self.booking = Some(booking);
            return Ok(Heard::Held { free });
        }
        if answer.status != 201 {
            let heard = self.refusal("book", &answer).await?;
            if matches!(heard, Heard::PutOff { .. } | Heard::Lost) {
                return Ok(heard);
            }
        }
        world.tally.count(|counts| counts.lapsed += 1);
        Ok(Heard::Lapsed)
    }

    pub(super) async fn pay(&mut self, good: bool) -> Result<Heard, Lost> {
        let world = self.world;
        if self.booking.is_none() {
            let heard = self.book_held().await?;
            if !matches!(heard, Heard::Held { .. }) {
                return Ok(heard);
            }
        }
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
        let answer = world.ask(&world.provider, &call, Line::Begun).await?;
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
}
