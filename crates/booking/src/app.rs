//! The handles that every verb gets, and the ways a booking is written: opened, by who holds its
//! lease, and by anybody else.

use std::{sync::Arc, time::Duration};

use db::{Coalescer, Db};
use kernel::{BookingId, Caller, Clock, Ids, MessageId, Timestamp};
use platform::{
    Metrics, Tasks,
    tokens::{Seal, Verifier},
};
use wire::{Context, Wire};

use crate::{
    Config, Error, NAME,
    change::Change,
    desk::{Decided, Desk, Question, Write, Wrote},
    domain::{Booking, RefusedWish},
    flights::Flights,
    lag::Lag,
    metrics::Counts,
    refusals::Refusals,
};

/// The handles of this service.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) db: Db,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) desk: Arc<Desk>,
    /// All writes of bookings, those that meet in one transaction.
    pub(crate) writes: Coalescer<Write, Wrote, Error>,
    pub(crate) tasks: Tasks,
    pub(crate) event: Wire,
    pub(crate) ticket: Wire,
    pub(crate) payment: Wire,
    pub(crate) seal: Seal,
    pub(crate) access: Verifier,
    pub(crate) metrics: Metrics,
    pub(crate) counts: Counts,
    pub(crate) flights: Flights,
    pub(crate) lag: Lag,
    pub(crate) refusals: Refusals,
}

/// What became of a change by the holder of the lease.
pub(crate) enum Written {
    /// It is durable.
    Done(Booking),
    /// Somebody else has changed the booking since; this is how it is now.
    Overtaken(Booking),
}

/// What a key stands for that was used before.
pub(crate) enum Known {
    /// This booking.
    Booking(Booking),
    /// A refusal without one.
    Refusal(RefusedWish),
}

impl Known {
    fn from(wrote: Wrote) -> Option<Self> {
        match wrote {
            Wrote::Instead(booking) => Some(Self::Booking(*booking)),
            Wrote::Refused(wish) => Some(Self::Refusal(*wish)),
            Wrote::Done | Wrote::Decided(_) => None,
        }
    }
}

impl App {
    /// The context in which this service calls others: for itself, in time for its lease.
    pub(crate) fn calling(&self, context: &Context) -> Context {
        let limit = Duration::from_secs(self.config.call_timeout_seconds);
        Context {
            caller: Caller::Service(NAME.to_owned()),
            deadline: tokio::time::Instant::now().checked_add(limit),
            ..context.clone()
        }
    }

    /// How long a step takes at most, about: two calls.
    pub(crate) fn longest_step(&self) -> Duration {
        Duration::from_secs(2 * self.config.call_timeout_seconds)
    }

    /// Until when a lease taken at `now` lasts.
    pub(crate) fn lease_until(&self, now: Timestamp) -> Timestamp {
        self.desk.lease_until(now)
    }

    /// Writes a new booking down. Answers what the same key of its account stands for, if it has
    /// been used before.
    ///
    /// # Errors
    /// Why it could not be written.
    pub(crate) async fn open(
        &self,
        context: &Context,
        change: Change,
    ) -> Result<Option<Known>, Error> {
        let prepared = Arc::new(self.desk.prepare(context, change)?);
        let wrote = self.writes.call(Write::Open(prepared.clone())).await?;
        Ok(Known::from(wrote).or_else(|| {
            self.tell(&prepared.change);
            None
        }))
    }

    /// Writes down that a wish is refused without a booking; otherwise as [`App::open`].
    ///
    /// # Errors
    /// Why it could not be written.
    pub(crate) async fn refuse(&self, wish: Arc<RefusedWish>) -> Result<Option<Known>, Error> {
        let wrote = self.writes.call(Write::Refuse(wish.clone())).await?;
        Ok(Known::from(wrote).or_else(|| {
            self.counts.refused_again(&wish.refusal);
            None
        }))
    }

    /// Writes a change of the one who holds the booking's lease, which goes on while there is more
    /// to do.
    ///
    /// # Errors
    /// Why it could not be written.
    pub(crate) async fn write(&self, context: &Context, change: Change) -> Result<Written, Error> {
        let prepared = Arc::new(self.desk.prepare(context, change)?);
        match self.writes.call(Write::Save(prepared.clone())).await? {
            Wrote::Instead(overtaken) => return Ok(Written::Overtaken(*overtaken)),
            Wrote::Done | Wrote::Decided(_) | Wrote::Refused(_) => self.tell(&prepared.change),
        }
        Ok(Written::Done(prepared.change.booking.clone()))
    }

    /// Decides on a booking as it is now, in one transaction. `decision` answers whether it changed
    /// anything. If nobody is at work on the booking, the decider gets the lease; else whoever is
    /// at work will see the change with its next write. A decision that came by `message` is made
    /// once: `None` if it was made before.
    ///
    /// # Errors
    /// [`Error::NotFound`], what `decision` refused, or why it could not be written.
    pub(crate) async fn decide<F>(
        &self,
        context: &Context,
        (id, message): (BookingId, Option<MessageId>),
        decision: F,
    ) -> Result<Option<Decided>, Error>
    where
        F: Fn(&mut Change) -> Result<bool, Error> + Send + Sync + 'static,
    {
        let decision = Box::new(decision);
        let question = Question { id, message, context: context.clone(), decision };
        let wrote = self.writes.call(Write::Decide(question)).await;
        let Wrote::Decided(decided) = wrote.inspect_err(|error| self.counts.refused(error))? else {
            return Ok(None);
        };
        if let Some(change) = decided.as_ref().and_then(|decided| decided.change.as_ref()) {
            self.tell(change);
        }
        Ok(decided.map(|decided| *decided))
    }

    /// What follows a change that is durable.
    pub(crate) fn tell(&self, change: &Change) {
        self.counts.committed(change);
        if !change.news.is_empty() {
            self.desk.outbox.wake();
        }
    }
}
