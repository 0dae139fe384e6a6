//! Where all writes of bookings come together: those that meet are decided and committed in one
//! transaction, each as if it were alone. A batch locks its bookings in the order of their ids,
//! looks at each as it is by then, and writes each once.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use db::Tx;
use kernel::{AccountId, BookingId, Clock, Failure, Ids, MessageId, Timestamp};
use platform::{
    bus::{BOOKING_EVENTS, Envelope},
    inbox,
    outbox::Outbox,
};
use wire::Context;

use crate::{
    Error, NAME,
    change::Change,
    domain::{Booking, RefusedWish},
    store::{
        self, StoredStep,
        keys::{self, Answer, Claim},
    },
};

/// What a decision makes of a booking; whether it changed anything.
pub(crate) type Decision = Box<dyn Fn(&mut Change) -> Result<bool, Error> + Send + Sync>;

/// A write that waits for its batch.
pub(crate) enum Write {
    /// A new booking, unless its account has used its key before.
    Open(Arc<Prepared>),
    /// A wish refused without a booking, unless its account has used its key before.
    Refuse(Arc<RefusedWish>),
    /// A change by who holds the booking's lease, unless somebody was faster.
    Save(Arc<Prepared>),
    /// A decision by anybody, on the booking as it is by then.
    Decide(Question),
}

/// A change, and what it tells others.
pub(crate) struct Prepared {
    pub(crate) change: Change,
    pub(crate) envelopes: Vec<Envelope>,
}

/// A decision to be made.
pub(crate) struct Question {
    pub(crate) id: BookingId,
    /// What it came by; it is made once.
    pub(crate) message: Option<MessageId>,
    pub(crate) context: Context,
    pub(crate) decision: Decision,
}

/// What became of a write.
pub(crate) enum Wrote {
    /// It is durable.
    Done,
    /// Nothing, as there is this booking: of the same key, or changed by somebody else.
    Instead(Box<Booking>),
    /// Nothing, as this was refused under the same key.
    Refused(Box<RefusedWish>),
    /// The decision was made; nothing if it was made before.
    Decided(Option<Box<Decided>>),
}

/// What became of a decision.
pub(crate) struct Decided {
    /// The booking as it is now.
    pub(crate) booking: Booking,
    /// Whether the decider got the lease, and has to drive the booking on.
    pub(crate) mine: bool,
    /// What it changed, if anything.
    pub(crate) change: Option<Change>,
}

/// What a batch needs.
pub(crate) struct Desk {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) outbox: Outbox,
    /// How long a booking is leased to who works on it.
    pub(crate) lease: Duration,
}

impl Desk {
    /// Until when a lease taken at `now` lasts.
    pub(crate) fn lease_until(&self, now: Timestamp) -> Timestamp {
        now.plus(self.lease)
    }

    /// A change with what it tells others, ready for the outbox.
    pub(crate) fn prepare(&self, context: &Context, change: Change) -> Result<Prepared, Failure> {
        let envelopes = self.envelopes(context, &change)?;
        Ok(Prepared { change, envelopes })
    }

    fn envelopes(&self, context: &Context, change: &Change) -> Result<Vec<Envelope>, Failure> {
        let of = |(kind, content): &(&'static str, _)| {
            let about = (BOOKING_EVENTS, NAME, *kind);
            Envelope::new(about, change.booking.id, content, context, (&*self.ids, change.at))
        };
        change.news.iter().map(of).collect()
    }

    /// Decides all of `writes`, first come first served.
    ///
    /// # Errors
    /// If the database fails; also what a decision that came by a message was refused with, as then
    /// the message is not to be remembered, and whoever came with it has to be decided alone.
    pub(crate) async fn decide(
        &self,
        tx: &mut Tx,
        writes: &[Write],
    ) -> Result<Vec<Result<Wrote, Error>>, Error> {
        let mut batch = Batch::read(tx, self, writes).await?;
        let mut answers = Vec::with_capacity(writes.len());
        for write in writes {
            answers.push(match write {
                Write::Open(prepared) => batch.open(prepared),
                Write::Refuse(wish) => batch.refuse(wish),
                Write::Save(prepared) => batch.save(prepared),
                Write::Decide(question) => match batch.answer(question) {
                    Err(error) if question.message.is_some() => return Err(error),
                    answer => answer,
                },
            });
        }
        batch.write(tx).await?;
        Ok(answers)
    }
}

/// The bookings of a batch, and what is to be written.
struct Batch<'a> {
    desk: &'a Desk,
    notes: store::Notes,
    /// Who got the keys they came with.
    claimed: HashSet<BookingId>,
    /// What the keys of the others stand for.
    known: HashMap<(AccountId, String), Answer>,
    /// Messages that came for the first time and were not answered yet.
    fresh: HashSet<MessageId>,
    versions: HashMap<BookingId, i64>,
    /// As they are by now, as far as they are known.
    bookings: HashMap<BookingId, Booking>,
    /// Those of them that are to be saved, each with the steps that it took.
    changed: BTreeMap<BookingId, Vec<StoredStep<'static>>>,
    envelopes: Vec<Envelope>,
}

impl<'a> Batch<'a> {
    /// Claims keys, inserts what is new, notes the messages, locks what is there.
    async fn read(tx: &mut Tx, desk: &'a Desk, writes: &[Write]) -> Result<Self, Error> {
        let (mut claims, mut messages, mut ids) = (Vec::new(), Vec::new(), BTreeSet::new());
        let mut wanted = BTreeSet::new();
        for write in writes {
            match write {
                Write::Open(prepared) => claims.push(Claim::Booking(&prepared.change.booking)),
                Write::Refuse(wish) => claims.push(Claim::Refusal(wish)),
                Write::Save(prepared) => {
                    ids.insert(prepared.change.booking.id);
                }
                Write::Decide(question) => {
                    ids.insert(question.id);
                    wanted.insert(question.id);
                    messages.extend(question.message);
                }
            }
        }
        let claimed = keys::claim_all(tx, &claims).await?;
        let openings = writes.iter().filter_map(|write| match write {
            Write::Open(prepared) => Some(&prepared.change),
            _ => None,
        });
        let new = openings.filter(|change| claimed.contains(&change.booking.id));
        store::insert_all(tx, new).await?;
        let lost = claims.iter().filter(|claim| !claimed.contains(&claim.id()));
        let known = keys::find_all(tx, lost.map(Claim::key)).await?;
        wanted.extend(known.values().filter_map(|answer| match answer {
            Answer::Booking(id) => Some(*id),
            Answer::Refusal(_) => None,
        }));
        let first = inbox::first_times(tx, NAME, &messages).await?;
        let fresh = messages.into_iter().zip(first).filter(|its| its.1).map(|its| its.0).collect();
        let versions = store::lock_all(tx, ids).await?;
        wanted.extend(writes.iter().filter_map(|write| match write {
            Write::Save(prepared) => {
                let (id, against) = (prepared.change.booking.id, prepared.change.against);
                (versions.get(&id) != Some(&against)).then_some(id)
            }
            _ => None,
        }));
        let bookings = store::load_all(tx, wanted).await?;
        Ok(Self {
            desk,
            notes: store::Notes::default(),
            claimed,
            known,
            fresh,
            versions,
            bookings,
            changed: BTreeMap::new(),
            envelopes: Vec::new(),
        })
    }

    fn open(&mut self, prepared: &Prepared) -> Result<Wrote, Error> {
        let booking = &prepared.change.booking;
        if self.claimed.contains(&booking.id) {
            self.takes(&prepared.change, prepared.envelopes.iter().cloned());
            return Ok(Wrote::Done);
        }
        self.known(booking.account_id, &booking.key)
    }

    fn refuse(&self, wish: &RefusedWish) -> Result<Wrote, Error> {
        if self.claimed.contains(&wish.id) {
            return Ok(Wrote::Done);
        }
        self.known(wish.account_id, &wish.key)
    }

    fn known(&self, account: AccountId, key: &str) -> Result<Wrote, Error> {
        match self.known.get(&(account, key.to_owned())) {
            Some(Answer::Booking(id)) => {
                let found = self.bookings.get(id).ok_or(Error::NotFound)?;
                Ok(Wrote::Instead(Box::new(found.clone())))
            }
            Some(Answer::Refusal(wish)) => Ok(Wrote::Refused(wish.clone())),
            None => Err(Error::NotFound),
        }
    }

    fn save(&mut self, prepared: &Prepared) -> Result<Wrote, Error> {
        let Prepared { change, envelopes } = prepared;
        let id = change.booking.id;
        let now = self.bookings.get(&id);
        let version = now.map(|now| now.version).or_else(|| self.versions.get(&id).copied());
        if version == Some(change.against) {
            self.takes(change, envelopes.iter().cloned());
            self.becomes(change);
            return Ok(Wrote::Done);
        }
        now.map(|now| Wrote::Instead(Box::new(now.clone()))).ok_or(Error::NotFound)
    }

    fn answer(&mut self, question: &Question) -> Result<Wrote, Error> {
        if question.message.is_some_and(|message| !self.fresh.remove(&message)) {
            return Ok(Wrote::Decided(None));
        }
        let now = self.desk.clock.now();
        let found = self.bookings.get(&question.id).ok_or(Error::NotFound)?;
        let leased = found.is_leased(now);
        let mut change = Change::of(found.clone(), now);
        if !(question.decision)(&mut change)? {
            let booking = found.clone();
            return Ok(Wrote::Decided(Some(Box::new(Decided {
                booking,
                mine: false,
                change: None,
            }))));
        }
        if !leased {
            change.lease(self.desk.lease_until(now));
        }
        let envelopes = self.desk.envelopes(&question.context, &change)?;
        self.takes(&change, envelopes);
        self.becomes(&change);
        let mine = !leased && change.booking.cursor.leased;
        let booking = change.booking.clone();
        Ok(Wrote::Decided(Some(Box::new(Decided { booking, mine, change: Some(change) }))))
    }

    /// Notes what a change that holds leaves behind, and what it tells.
    fn takes(&mut self, change: &Change, envelopes: impl IntoIterator<Item = Envelope>) {
        self.notes.add(change);
        self.envelopes.extend(envelopes);
    }

    /// Has a booking be what a change makes of it, with the steps of the change.
    fn becomes(&mut self, change: &Change) {
        let booking = &change.booking;
        self.changed.entry(booking.id).or_default().extend(store::steps(change));
        self.bookings.insert(booking.id, booking.clone());
    }

    /// Writes each changed booking as it is in the end, and all that its changes tell.
    async fn write(self, tx: &mut Tx) -> Result<(), Error> {
        let changed = self.changed.iter();
        let changed = changed.filter_map(|(id, steps)| Some((self.bookings.get(id)?, &**steps)));
        store::save_all(tx, changed).await?;
        store::note_all(tx, self.notes).await?;
        self.desk.outbox.append(tx, &self.envelopes).await?;
        Ok(())
    }
}
