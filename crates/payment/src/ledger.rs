//! The ledger of payments: what a transaction has locked of them, and what became of it. Every
//! status change takes its history and its event with it; all of it is written at the end, one
//! statement a table, however many payments there are.

use std::{collections::BTreeMap, sync::Arc};

use db::Tx;
use kernel::{Failure, Ids, PaymentId, Timestamp};
use platform::{bus::Envelope, outbox::Outbox};

use crate::{
    app::Patience,
    domain::{Payment, State},
    store::{self, Entry, Revision, Transition},
};

/// What transactions need beside the database.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) outbox: Outbox,
    pub(crate) patience: Patience,
}

/// A step that was decided, with all that its history needs.
pub(crate) struct Step<'s> {
    pub(crate) from: State,
    /// What led to it, for the history.
    pub(crate) cause: &'s str,
    pub(crate) now: Timestamp,
}

/// What one transaction does to payments.
pub(crate) struct Ledger<'a> {
    pub(crate) desk: &'a Desk,
    held: BTreeMap<PaymentId, Held>,
    entries: Vec<&'a Entry>,
    told: Vec<Envelope>,
}

/// A payment that the transaction has locked.
struct Held {
    payment: Payment,
    /// Its version as it was locked.
    read: i64,
    /// When it was last touched, if there is anything to write of it.
    touched: Option<Timestamp>,
    /// How it came to what it is by now.
    steps: Vec<Transition>,
}

impl<'a> Ledger<'a> {
    pub(crate) fn new(desk: &'a Desk) -> Self {
        Self { desk, held: BTreeMap::new(), entries: Vec::new(), told: Vec::new() }
    }

    /// Locks payments, nobody else's to change until the transaction ends; called once in it, so
    /// that all transactions lock in the same order.
    pub(crate) async fn lock(&mut self, tx: &mut Tx, ids: Vec<PaymentId>) -> Result<(), db::Error> {
        for payment in store::lock(tx, ids).await? {
            let (read, steps) = (payment.version, Vec::new());
            self.held.insert(payment.id, Held { payment, read, touched: None, steps });
        }
        Ok(())
    }

    /// A payment as it is by now, if it is locked here.
    pub(crate) fn find(&self, id: PaymentId) -> Option<&Payment> {
        self.held.get(&id).map(|held| &held.payment)
    }

    /// As [`Self::find`].
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub(crate) fn payment(&mut self, id: PaymentId) -> Result<&mut Payment, Failure> {
        let held = self.held.get_mut(&id).ok_or_else(|| Failure::not_found("payment"))?;
        Ok(&mut held.payment)
    }

    /// Keeps the record of a call to the provider.
    pub(crate) fn note(&mut self, entry: &'a Entry) {
        self.entries.push(entry);
    }

    /// Keeps a payment's step: its new version, and its history.
    pub(crate) fn record(&mut self, mut payment: Payment, step: &Step<'_>) {
        payment.version += 1;
        if let Some(held) = self.held.get_mut(&payment.id) {
            held.steps.push(Transition::new(&payment, step.from, step.cause, step.now));
        }
        self.revise(payment, step.now);
    }

    /// Keeps a payment of which something else than its state has changed.
    pub(crate) fn revise(&mut self, mut payment: Payment, now: Timestamp) {
        payment.updated_at = now;
        payment.attempts = 0;
        if let Some(held) = self.held.get_mut(&payment.id) {
            held.payment = payment;
            held.touched = Some(now);
        }
    }

    /// Has a payment of which nothing has changed looked at again later, if it is still open.
    pub(crate) fn put_off(&mut self, id: PaymentId, now: Timestamp) {
        if let Some(held) = self.held.get_mut(&id)
            && held.payment.state.is_open()
        {
            held.touched = Some(now);
        }
    }

    /// What others are to be told, after all that was to be told before.
    pub(crate) fn tell(&mut self, event: Envelope) {
        self.told.push(event);
    }

    /// Writes what was kept.
    pub(crate) async fn write(self, tx: &mut Tx) -> Result<(), db::Error> {
        let patience = self.desk.patience;
        let revision = |held: Held| {
            let Held { payment, read, touched, steps } = held;
            let at = touched?;
            let due = payment.state.is_open().then(|| patience.next(at, payment.attempts));
            Some(Revision { payment, read, due, steps })
        };
        let revisions: Vec<Revision> = self.held.into_values().filter_map(revision).collect();
        store::update(tx, &revisions).await?;
        store::insert_entries(tx, &self.entries).await?;
        self.desk.outbox.append(tx, &self.told).await
    }
}
