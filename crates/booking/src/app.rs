//! The handles that every verb gets, and the two ways a booking is written: by who holds its lease,
//! and by anybody else.

use std::{sync::Arc, time::Duration};

use db::Db;
use kernel::{BookingId, Caller, Clock, Failure, Ids, MessageId, Timestamp};
use platform::{
    Metrics, Tasks,
    bus::{BOOKING_EVENTS, Envelope},
    inbox,
    outbox::Outbox,
    tokens::{Seal, Verifier},
};
use wire::{Context, Wire};

use crate::{
    Config, Error, NAME, change::Change, domain::Booking, flights::Flights, metrics::Counts, store,
};

/// The handles of this service.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) db: Db,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) outbox: Outbox,
    pub(crate) tasks: Tasks,
    pub(crate) event: Wire,
    pub(crate) ticket: Wire,
    pub(crate) payment: Wire,
    pub(crate) seal: Seal,
    pub(crate) access: Verifier,
    pub(crate) metrics: Metrics,
    pub(crate) counts: Counts,
    pub(crate) flights: Flights,
}

/// What became of a change by the holder of the lease.
pub(crate) enum Written {
    /// It is durable.
    Done(Booking),
    /// Somebody else has changed the booking since; this is how it is now.
    Overtaken(Booking),
}

/// What became of a decision by anybody.
pub(crate) struct Decided {
    /// The booking as it is now.
    pub(crate) booking: Booking,
    /// Whether the decider got the lease, and has to drive the booking on.
    pub(crate) mine: bool,
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
        now.plus(Duration::from_secs(self.config.lease_seconds))
    }

    /// Writes a change of the one who holds the booking's lease, which goes on while there is more
    /// to do.
    ///
    /// # Errors
    /// Why it could not be written.
    pub(crate) async fn write(&self, context: &Context, change: Change) -> Result<Written, Error> {
        let envelopes = self.envelopes(context, &change)?;
        let shared = Arc::new((change, envelopes, self.outbox.clone()));
        let result = {
            let shared = shared.clone();
            self.db.write(move |tx| {
                let shared = shared.clone();
                Box::pin(async move {
                    let (change, envelopes, outbox) = &*shared;
                    if store::save(tx, &change.booking, change.against).await? {
                        append(tx, change, envelopes, outbox).await?;
                        return Ok(None);
                    }
                    let now = store::load(tx, change.booking.id).await?;
                    now.map(Some).ok_or(Error::NotFound)
                })
            })
        }
        .await?;
        if let Some(overtaken) = result {
            return Ok(Written::Overtaken(overtaken));
        }
        self.tell(&shared.0);
        Ok(Written::Done(shared.0.booking.clone()))
    }

    /// Decides on a booking as it is now, in one transaction. `decision` answers whether it changed
    /// anything. If nobody is at work on the booking, the decider gets the lease; else whoever is
    /// at work will see the change with its next write. A decision that came by `message` is made
    /// once: `None` if it was made before.
    ///
    /// # Errors
    /// [`Error::NotFound`], what `decision` refused, or why it could not be written.
    pub(crate) async fn decide<F>(
        self: &Arc<Self>,
        context: &Context,
        (id, message): (BookingId, Option<MessageId>),
        decision: F,
    ) -> Result<Option<Decided>, Error>
    where
        F: Fn(&mut Change) -> Result<bool, Error> + Send + Sync + 'static,
    {
        let shared = Arc::new((self.clone(), context.clone(), decision));
        let decided = self
            .db
            .write(move |tx| {
                let shared = shared.clone();
                Box::pin(async move {
                    let (app, context, decision) = &*shared;
                    if let Some(message) = message
                        && !inbox::first_time(tx, NAME, message).await?
                    {
                        return Ok(None);
                    }
                    let now = app.clock.now();
                    let found = store::lock(tx, id).await?.ok_or(Error::NotFound)?;
                    let leased = found.is_leased(now);
                    let mut change = Change::of(found.clone(), now);
                    if !decision(&mut change)? {
                        return Ok(Some((Decided { booking: found, mine: false }, None)));
                    }
                    if !leased {
                        change.lease(app.lease_until(now));
                    }
                    let envelopes = app.envelopes(context, &change)?;
                    if !store::save(tx, &change.booking, change.against).await? {
                        return Err(Error::Db(db::Error::Conflict));
                    }
                    append(tx, &change, &envelopes, &app.outbox).await?;
                    let mine = !leased && change.booking.cursor.leased;
                    let decided = Decided { booking: change.booking.clone(), mine };
                    Ok(Some((decided, Some(change))))
                })
            })
            .await
            .inspect_err(|error| self.counts.refused(error))?;
        Ok(decided.map(|(decided, change)| {
            if let Some(change) = change {
                self.tell(&change);
            }
            decided
        }))
    }

    /// What a change tells others, ready for the outbox.
    pub(crate) fn envelopes(
        &self,
        context: &Context,
        change: &Change,
    ) -> Result<Vec<Envelope>, Failure> {
        let of = |(kind, content): &(&'static str, _)| {
            let about = (BOOKING_EVENTS, NAME, *kind);
            Envelope::new(about, change.booking.id, content, context, (&*self.ids, change.at))
        };
        change.news.iter().map(of).collect()
    }

    /// What follows a change that is durable.
    pub(crate) fn tell(&self, change: &Change) {
        self.counts.committed(change);
        if !change.news.is_empty() {
            self.outbox.wake();
        }
    }
}

/// Writes what goes with a booking's new state.
pub(crate) async fn append(
    tx: &mut db::Tx,
    change: &Change,
    envelopes: &[Envelope],
    outbox: &Outbox,
) -> Result<(), db::Error> {
    store::note(tx, &change.booking, &change.transitions).await?;
    for step in &change.revived {
        store::unbury(tx, change.booking.id, *step).await?;
    }
    for letter in &change.dead_letters {
        store::bury(tx, letter).await?;
    }
    if envelopes.is_empty() { Ok(()) } else { outbox.append(tx, envelopes).await }
}
