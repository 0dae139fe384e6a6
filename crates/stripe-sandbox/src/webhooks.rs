//! Events on their way to the webhook endpoint: signed, sent until answered with 2xx, and still due
//! after a crash.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::hmac;
use db::Db;
use futures_util::{StreamExt, stream};
use kernel::{Clock, Ids, Secret, Timestamp};
use platform::http::{Client, Nearby};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    error::Refused,
    refunds,
    session::{Delivery, Session, WEBHOOK},
    store::{self, Due},
};

/// The most pieces of work taken at once.
const BATCH: i64 = 256;
/// The most webhooks under way at once.
const PARALLEL: usize = 256;
/// How long the endpoint may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The wait before the second try; doubled for each further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest wait between two tries.
const LONGEST_RETRY: Duration = Duration::from_secs(3_600);
/// After this many tries, about three days, an event is given up.
const MAX_ATTEMPTS: i64 = 84;
/// How often to look for due work when nothing is announced.
const IDLE: Duration = Duration::from_secs(5);
/// How long an idempotency key is remembered.
pub(crate) const KEY_TTL: Duration = Duration::from_secs(24 * 3_600);
/// How often old idempotency keys are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);
/// The most idempotency keys forgotten in one transaction.
const FORGET_BATCH: i64 = 1_000;

/// How the sandbox treats webhooks and calls, for tests of what a network and a provider may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Controls {
    /// How long an event waits before it is sent, in milliseconds.
    pub delay_ms: u64,
    /// How often each event is sent.
    pub copies: usize,
    /// Whether what is due is sent newest first.
    pub reverse: bool,
    /// Whether sending rests; what is due stays due.
    pub paused: bool,
    /// Whether new events are never sent, as if lost on the way.
    pub lose: bool,
    /// How many of the next calls fail with 500 and no effect.
    pub fail_before: u32,
    /// How many of the next calls fail with 500 although they took effect.
    pub fail_after: u32,
}

impl Default for Controls {
    fn default() -> Self {
        Self {
            delay_ms: 0,
            copies: 1,
            reverse: false,
            paused: false,
            lose: false,
            fail_before: 0,
            fail_after: 0,
        }
    }
}

/// What calls, pages and delivery share.
pub(crate) struct Shared {
    pub(crate) db: Db,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) public_url: String,
    pub(crate) webhook_url: Option<String>,
    pub(crate) webhook_events: Vec<String>,
    pub(crate) webhook_secret: Secret<String>,
    pub(crate) controls: Mutex<Controls>,
    pub(crate) due: Notify,
}

impl Shared {
    pub(crate) fn controls<T>(&self, look: impl FnOnce(&mut Controls) -> T) -> T {
        look(&mut self.controls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How the events of a call made now travel.
    pub(crate) fn delivery(&self, now: Timestamp) -> Delivery<'_> {
        self.controls(|controls| Delivery {
            kinds: &self.webhook_events,
            copies: if self.webhook_url.is_none() || controls.lose { 0 } else { controls.copies },
            not_before: now.plus(Duration::from_millis(controls.delay_ms)),
        })
    }
}

/// The sandbox's own work: sends events and settles refunds.
#[derive(Clone)]
pub struct Worker {
    shared: Arc<Shared>,
    client: Client,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, nearby: Nearby) -> Result<Self, reqwest::Error> {
        // The endpoint is on this machine: no proxy, and no certificates to load.
        let network = reqwest::Client::builder().no_proxy().tls_certs_only(std::iter::empty());
        Ok(Self { shared, client: Client::new(network, TIMEOUT, nearby)? })
    }

    /// Works until `stop`. What is under way then is finished; what is due stays due.
    pub async fn run(self, stop: CancellationToken) {
        let mut forgotten = Timestamp::EPOCH;
        while !stop.is_cancelled() {
            let wait = match self.run_due().await {
                Ok(done) if done > 0 => continue,
                Ok(_) => self.idle().await,
                Err(error) => {
                    warn!(%error, "sandbox work failed");
                    FIRST_RETRY
                }
            };
            let now = self.shared.clock.now();
            if now.since(forgotten) >= FORGET_EVERY {
                forgotten = now;
                self.forget(now).await;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.shared.due.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Does what is due now, once, and returns how many pieces of work were tried.
    ///
    /// # Errors
    /// If the sandbox's database fails.
    pub async fn run_due(&self) -> Result<usize, db::Error> {
        let (paused, reverse) = self.shared.controls(|c| (c.paused, c.reverse));
        if paused {
            return Ok(0);
        }
        let now = self.shared.clock.now();
        let mut due: Vec<Due> =
            self.shared.db.read(move |tx| Box::pin(store::due(tx, now, BATCH))).await?;
        if reverse {
            due.reverse();
        }
        let count = due.len();
        let parallel = if reverse { 1 } else { PARALLEL };
        let tries = due.into_iter().map(|work| async move {
            let done = self.try_once(&work).await;
            (work, done)
        });
        let tried: Vec<(Due, bool)> = stream::iter(tries).buffered(parallel).collect().await;
        self.settle(tried).await?;
        Ok(count)
    }

    /// Tries a piece of work. It may be tried again after a crash that left it due.
    pub(crate) async fn try_once(&self, work: &Due) -> bool {
        let done = if work.kind == WEBHOOK {
            self.deliver(work.event.as_ref()).await
        } else {
            self.settle_refund(work).await
        };
        match done {
            Ok(()) => true,
            Err(reason) => {
                let Due { target, attempts, .. } = work;
                debug!(due = %target, attempts, %reason, "sandbox retry");
                false
            }
        }
    }

    async fn deliver(&self, event: Option<&String>) -> Result<(), String> {
        let (Some(url), Some(body)) = (&self.shared.webhook_url, event) else { return Ok(()) };
        let seconds = self.shared.clock.now().seconds();
        let signature = signature(&self.shared.webhook_secret, seconds, body.as_bytes());
        let request = self
            .client
            .request(Method::POST, url)
            .header("content-type", "application/json; charset=utf-8")
            .header("stripe-signature", signature)
            .body(body.clone());
        let answer = self.client.send(request).await.map_err(|error| error.to_string())?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(format!("status {}", answer.status()))
    }

    /// The bank answers once: the work is struck out with its effect, in one transaction.
    async fn settle_refund(&self, work: &Due) -> Result<(), String> {
        let shared = self.shared.clone();
        let now = shared.clock.now();
        let db = shared.db.clone();
        let (seq, id) = (work.seq, work.target.clone());
        let settled = db.write(move |tx| {
            let (shared, id) = (shared.clone(), id.clone());
            Box::pin(async move {
                if !store::take_due(tx, seq).await? {
                    return Ok(());
                }
                let mut session = Session::new(tx, now, &*shared.ids, &shared.public_url, None);
                refunds::settle(&mut session, &id).await?;
                session.finish(shared.delivery(now)).await?;
                Ok::<(), Refused>(())
            })
        });
        settled.await.map_err(|error| error.to_string())
    }

    /// Strikes out what is done and puts off the rest.
    async fn settle(&self, tried: Vec<(Due, bool)>) -> Result<(), db::Error> {
        if tried.is_empty() {
            return Ok(());
        }
        let now = self.shared.clock.now();
        let mut done = Vec::new();
        let mut later = Vec::new();
        for (work, ok) in tried {
            if ok {
                done.push(work.seq);
            } else if work.attempts + 1 >= MAX_ATTEMPTS {
                warn!(due = %work.target, "sandbox gives up");
                done.push(work.seq);
            } else {
                later.push((work.seq, now.plus(back_off(work.attempts))));
            }
        }
        let plan = Arc::new((done, later));
        let written = self.shared.db.write(move |tx| {
            let plan = plan.clone();
            Box::pin(async move {
                if !plan.0.is_empty() {
                    store::finish_due(tx, &plan.0).await?;
                }
                if !plan.1.is_empty() {
                    store::retry_due(tx, &plan.1).await?;
                }
                Ok(())
            })
        });
        written.await
    }

    /// How long nothing will be due.
    async fn idle(&self) -> Duration {
        if self.shared.controls(|controls| controls.paused) {
            return IDLE;
        }
        let next = self.shared.db.read(|tx| Box::pin(store::next_due(tx))).await;
        match next {
            Ok(Some(at)) => at.since(self.shared.clock.now()).clamp(Duration::from_millis(1), IDLE),
            Ok(None) => IDLE,
            Err(error) => {
                let error: db::Error = error;
                warn!(%error, "sandbox can't read what is due");
                IDLE
            }
        }
    }

    async fn forget(&self, now: Timestamp) {
        let before = now.minus(KEY_TTL);
        loop {
            let forgotten = self.shared.db.write(move |tx| {
                Box::pin(async move { store::forget(tx, before, FORGET_BATCH).await })
            });
            let forgotten: Result<u64, db::Error> = forgotten.await;
            match forgotten {
                Ok(count) if count == FORGET_BATCH.unsigned_abs() => {}
                Ok(_) => return,
                Err(error) => {
                    warn!(%error, "sandbox can't forget old keys");
                    return;
                }
            }
        }
    }
}

/// The header that proves an event is Stripe's: `t=<seconds>,v1=<HMAC-SHA256 of
/// "<seconds>.<body>">`.
#[must_use]
pub fn signature(secret: &Secret<String>, seconds: i64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(seconds.to_string().as_bytes());
    context.update(b".");
    context.update(body);
    format!("t={seconds},v1={}", crate::hex(context.sign().as_ref()))
}

fn back_off(attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts.clamp(0, 20)).unwrap_or(0);
    FIRST_RETRY.saturating_mul(1 << doublings).min(LONGEST_RETRY)
}
