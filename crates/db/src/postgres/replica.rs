//! A replica that answers reads: only once it holds all that anybody had committed before, and only
//! while it keeps up. Otherwise the primary answers, and the replica is left alone for a while.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot, watch},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{
    Mode,
    fence::{self, Position},
    server::{Address, CONNECT_TIMEOUT, Server},
    tx::PgTx,
};
use crate::{Error, ReplicaState};

/// How long a read waits for the replica before it goes to the primary.
const MAX_LAG: Duration = Duration::from_millis(50);
/// How long a new connection for a read may take before it goes to the primary.
const MAX_CONNECT: Duration = Duration::from_millis(500);
/// For how long a replica that failed is left alone, at first and at most.
const MIN_REST_MS: u64 = 100;
const MAX_REST_MS: u64 = 5_000;
/// How long to wait before asking the replica again how far it is, at first and at most.
const MIN_PAUSE: Duration = Duration::from_micros(250);
const MAX_PAUSE: Duration = Duration::from_millis(4);

#[derive(Clone)]
pub(super) struct Replica {
    state: Arc<State>,
    _stop: Arc<DropGuard>,
}

struct State {
    /// Where reads run.
    reads: Server,
    /// One connection to each server, for nothing but positions.
    replica: Server,
    primary: Server,
    asking: Mutex<Asking>,
    /// How far the replica was when it was last asked; nothing if it did not say.
    replayed: watch::Sender<Option<Position>>,
    /// Whether it is being asked, again and again while anybody waits.
    polling: Mutex<bool>,
    /// Somebody more waits for it.
    ask_again: Notify,
    up: AtomicBool,
    rest_ms: AtomicU64,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Who waits to know how far the primary is. A question that is under way is too old an answer for
/// whoever comes meanwhile; they share the next.
#[derive(Default)]
struct Asking {
    waiting: Vec<oneshot::Sender<Option<Position>>>,
    under_way: bool,
}

impl Replica {
    /// Begins to look for the replica, and does not wait for it.
    pub(super) fn start(
        replica: &Address,
        primary: &Address,
        max_connections: usize,
    ) -> Result<Self, Error> {
        let stop = CancellationToken::new();
        let state = Arc::new(State {
            reads: replica.server(max_connections, MAX_LAG, MAX_CONNECT)?,
            replica: replica.server(1, CONNECT_TIMEOUT, CONNECT_TIMEOUT)?,
            primary: primary.server(1, CONNECT_TIMEOUT, CONNECT_TIMEOUT)?,
            asking: Mutex::default(),
            replayed: watch::Sender::new(None),
            polling: Mutex::default(),
            ask_again: Notify::new(),
            up: AtomicBool::new(false),
            rest_ms: AtomicU64::new(MIN_REST_MS),
            tasks: TaskTracker::new(),
            stop: stop.clone(),
        });
        let look = Arc::clone(&state).look(Duration::ZERO);
        state.tasks.spawn(look);
        Ok(Self { state, _stop: Arc::new(stop.drop_guard()) })
    }

    /// A transaction that sees all that was committed before this call; nothing if the replica is
    /// not up to it.
    pub(super) async fn begin(&self) -> Option<PgTx> {
        let state = &self.state;
        if !state.up.load(Ordering::Acquire) {
            return None;
        }
        let deadline = Instant::now() + MAX_LAG;
        let fence = timeout_at(deadline, state.fence()).await.ok()??;
        let reached = timeout_at(deadline, state.reach(fence)).await.unwrap_or(false);
        let connection = if reached { state.reads.pool.get().await } else { return self.failed() };
        match connection {
            Ok(client) => {
                let session = Arc::clone(&state.reads.session);
                Some(PgTx::new(client, session, Mode::Read).behind(fence))
            }
            // All are busy, which is no fault of the replica's.
            Err(deadpool_postgres::PoolError::Timeout(deadpool_postgres::TimeoutType::Wait)) => {
                None
            }
            Err(_) => self.failed(),
        }
    }

    /// Leaves the replica alone until it has been seen to be well again.
    pub(super) fn failed<T>(&self) -> Option<T> {
        let state = &self.state;
        if state.up.swap(false, Ordering::AcqRel) {
            let rest = state.next_rest();
            state.tasks.spawn(Arc::clone(state).look(rest));
        }
        None
    }

    /// It has answered: it has no past.
    pub(super) fn answered(&self) {
        self.state.rest_ms.store(MIN_REST_MS, Ordering::Relaxed);
    }

    /// How far it is behind, if it is a replica of the primary at all.
    pub(super) async fn examine(&self) -> Result<ReplicaState, Error> {
        let (primary, replica) = (&self.state.primary, &self.state.replica);
        let flushed = fence::flushed(primary).await?;
        match fence::replayed(replica).await? {
            Some(replayed) if replayed.is_kin(flushed) => {
                Ok(ReplicaState { behind_bytes: flushed.bytes_after(replayed) })
            }
            Some(_) => Err(Error::Unavailable("it is of another history".to_owned())),
            None => Err(Error::Unavailable("it is no replica".to_owned())),
        }
    }

    pub(super) fn close(&self) {
        self.state.stop.cancel();
        for server in [&self.state.reads, &self.state.replica, &self.state.primary] {
            server.pool.close();
        }
    }
}

impl State {
    fn next_rest(&self) -> Duration {
        let rest = self.rest_ms.load(Ordering::Relaxed);
        self.rest_ms.store((2 * rest).min(MAX_REST_MS), Ordering::Relaxed);
        Duration::from_millis(rest)
    }

    /// Rests, looks, and rests again until the replica keeps up with the primary.
    async fn look(self: Arc<Self>, mut rest: Duration) {
        let looking = async {
            loop {
                sleep(rest).await;
                if self.is_well().await {
                    break;
                }
                rest = self.next_rest();
            }
        };
        if self.stop.run_until_cancelled(looking).await.is_some() {
            tracing::info!("the replica answers reads");
            self.up.store(true, Ordering::Release);
        }
    }

    async fn is_well(self: &Arc<Self>) -> bool {
        let Ok(fence) = fence::flushed(&self.primary).await else { return false };
        let deadline = Instant::now() + MAX_LAG;
        timeout_at(deadline, self.reach(fence)).await.unwrap_or(false)
    }

    /// Up to where the primary has committed, asked after this call.
    async fn fence(self: &Arc<Self>) -> Option<Position> {
        let (caller, answer) = oneshot::channel();
        let start = {
            let mut asking = lock(&self.asking);
            asking.waiting.push(caller);
            !std::mem::replace(&mut asking.under_way, true)
        };
        if start {
            self.tasks.spawn(Arc::clone(self).ask());
        }
        answer.await.ok()?
    }

    async fn ask(self: Arc<Self>) {
        loop {
            let callers = {
                let mut asking = lock(&self.asking);
                asking.under_way = !asking.waiting.is_empty();
                std::mem::take(&mut asking.waiting)
            };
            if callers.is_empty() {
                return;
            }
            let position = fence::flushed(&self.primary).await.ok();
            for caller in callers {
                let _gone = caller.send(position);
            }
        }
    }

    /// Waits until the replica has replayed up to `fence`. False if it does not say, or is none of
    /// the same history; to be given a limit by the caller.
    async fn reach(self: &Arc<Self>, fence: Position) -> bool {
        let mut replayed = self.replayed.subscribe();
        if covers(*replayed.borrow_and_update(), fence) {
            return true;
        }
        if std::mem::replace(&mut *lock(&self.polling), true) {
            self.ask_again.notify_one();
        } else {
            self.tasks.spawn(Arc::clone(self).poll());
        }
        while replayed.changed().await.is_ok() {
            match *replayed.borrow_and_update() {
                Some(position) if position.covers(fence) => return true,
                Some(position) if position.is_kin(fence) => {}
                _ => return false,
            }
        }
        false
    }

    /// Asks the replica how far it is while anybody waits to know.
    async fn poll(self: Arc<Self>) {
        let mut pause = MIN_PAUSE;
        loop {
            let position = fence::replayed(&self.replica).await.ok().flatten();
            self.replayed.send_replace(position);
            tokio::select! {
                () = sleep(pause) => pause = (2 * pause).min(MAX_PAUSE),
                () = self.ask_again.notified() => pause = MIN_PAUSE,
            }
            let mut polling = lock(&self.polling);
            if self.replayed.receiver_count() == 0 {
                *polling = false;
                return;
            }
        }
    }
}

fn covers(replayed: Option<Position>, fence: Position) -> bool {
    replayed.is_some_and(|position| position.covers(fence))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
