//! Tracked tasks: what shutdown waits for, and what a caller that leaves must not stop. The one home of spawning.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use kernel::Failure;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use crate::Metrics;

/// The pause after the first failure of periodic work; it doubles with each one that follows.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// The longest pause after failures.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// Spawns and tracks tasks of one service. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stopping: CancellationToken,
    failures: Family<Labels, Counter>,
    panics: Family<Labels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    task: &'static str,
}

impl Tasks {
    /// No tasks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows `task_failures_total` and `task_panics_total` among a service's metrics. [`crate::Unit::new`] does it.
    pub fn register(&self, metrics: &Metrics) {
        let failures = "Runs of periodic work that failed.";
        metrics.register("task_failures", failures, self.failures.clone());
        metrics.register("task_panics", "Tasks that panicked.", self.panics.clone());
    }

    /// Runs `work` in a task of its own. A panic is logged with `name`.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let tasks = self.clone();
        self.tracker.spawn(async move {
            let _ = tasks.caught(name, work).await;
        });
    }

    /// Runs `work` to its end in a task of its own, also when the caller of `finish` is dropped. Verbs that write run in here.
    ///
    /// # Errors
    /// An internal failure if `work` panics.
    pub async fn finish<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Failure> + Send + 'static,
    {
        let tasks = self.clone();
        let work = async move { tasks.caught("verb", work).await }.in_current_span();
        match self.tracker.spawn(work).await {
            Ok(Some(result)) => result,
            Ok(None) | Err(_) => Err(Failure::internal("the work panicked").into()),
        }
    }

    /// Runs `due` now, every `period`, and at once when `wake` is notified, until stopping; at once again while it answers
    /// `true` (there is more). An error is logged, counted, and waited out with back-off, wake or no wake.
    pub fn every<F, Fut>(&self, name: &'static str, period: Duration, wake: Arc<Notify>, due: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<bool, Failure>> + Send + 'static,
    {
        let tasks = self.clone();
        self.spawn(name, async move {
            let mut backoff = FIRST_BACKOFF;
            while !tasks.stopping.is_cancelled() {
                match tasks.caught(name, due()).await {
                    Some(Ok(more)) => {
                        backoff = FIRST_BACKOFF;
                        if more {
                            // Work that never waits must not keep its thread to itself.
                            tokio::task::yield_now().await;
                            continue;
                        }
                        tokio::select! {
                            () = tasks.stopping.cancelled() => {}
                            () = wake.notified() => {}
                            () = tokio::time::sleep(period) => {}
                        }
                        continue;
                    }
                    Some(Err(failure)) => {
                        tasks.failures.get_or_create(&Labels { task: name }).inc();
                        tracing::warn!(task = name, %failure, ?backoff, "task failed");
                    }
                    None => {}
                }
                tokio::select! {
                    () = tasks.stopping.cancelled() => {}
                    () = tokio::time::sleep(backoff) => {}
                }
                backoff = (backoff * 2).min(LONGEST_BACKOFF);
            }
        });
    }

    /// Cancelled when the service is to stop; long-running tasks watch it.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Tells all tasks to stop and waits for them, at most `limit`; answers how many were still running.
    pub async fn stop(&self, limit: Duration) -> usize {
        self.stopping.cancel();
        self.tracker.close();
        match tokio::time::timeout(limit, self.tracker.wait()).await {
            Ok(()) => 0,
            Err(_) => self.tracker.len(),
        }
    }

    /// What `work` answers; `None` if it panics, which is logged and counted.
    async fn caught<T>(&self, name: &'static str, work: impl Future<Output = T>) -> Option<T> {
        match AssertUnwindSafe(work).catch_unwind().await {
            Ok(result) => Some(result),
            Err(panic) => {
                self.panics.get_or_create(&Labels { task: name }).inc();
                tracing::error!(task = name, panic = words(&*panic), "task panicked");
                None
            }
        }
    }
}

/// What a panic said.
pub(crate) fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
