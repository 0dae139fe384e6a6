//! Whether bookings that were begun before a moment have settled: nothing about them is left to do
//! but what their buyers have to.

use std::{collections::BTreeMap, time::Duration};

use db::{Db, Settings};
use kernel::{Clock, SystemClock, Timestamp};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::sale::stores::{Stores, at};

const POLL: Duration = Duration::from_millis(150);

/// booking-service's bookings, to read only.
pub(super) struct Bookings(Db);

impl Bookings {
    pub(super) async fn open(stores: &Stores) -> Self {
        let settings = Settings { max_connections: 1, ..stores.settings("booking_service") };
        Self(Db::open(&settings).await.unwrap())
    }

    pub(super) async fn close(self) {
        self.0.close().await;
    }

    /// Waits until each booking that was begun before now has been seen settled; answers those that
    /// were not in time, in words.
    pub(super) async fn settle(&self, time: Duration) -> Vec<String> {
        let (began, before) = (Instant::now(), SystemClock.now());
        let mut left: Option<BTreeMap<Uuid, String>> = None;
        loop {
            let seen = self.unsettled(before).await;
            if let Ok(mut seen) = seen {
                if let Some(left) = &left {
                    seen.retain(|id, _| left.contains_key(id));
                }
                left = Some(seen);
            }
            let none = left.as_ref().is_some_and(BTreeMap::is_empty);
            if none || began.elapsed() > time {
                let left = left.unwrap_or_else(|| {
                    BTreeMap::from([(Uuid::nil(), "nothing can be read".to_owned())])
                });
                return left.into_values().collect();
            }
            sleep(POLL).await;
        }
    }

    /// Those that somebody is at, or has to be: all but those that are over, and those that
    /// wait for their buyer and have time left.
    async fn unsettled(&self, before: Timestamp) -> Result<BTreeMap<Uuid, String>, db::Error> {
        const UNSETTLED: &str =
            "select id, reference || ' is ' || status || ' ' || payment_status from bookings
             where created_at < $1 and (leased or cancelling or undo <> ''
               or status in ('PENDING', 'RESERVING', 'SEATS_RESERVED', 'PAYMENT_PROCESSING')
               or (status in ('PAYMENT_PENDING', 'PAYMENT_FAILED') and expires_at < $2)
               or (status in ('CONFIRMED', 'CANCELLED', 'FAILED', 'EXPIRED')
                   and due_at is not null))";
        let values = [before.into(), SystemClock.now().into()];
        let rows = self.0.read(move |tx| {
            let values = values.clone();
            Box::pin(async move { tx.query(UNSETTLED, &values).await })
        });
        Ok(rows.await?.iter().map(|row| (at(row, 0), at(row, 1))).collect())
    }
}
