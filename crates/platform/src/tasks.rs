//! Tracked tasks: what shutdown waits for, and what a caller that leaves must not stop. The one
//! home of spawning.

use std::{any::Any, panic::AssertUnwindSafe, pin::Pin, sync::Arc, time::Duration};

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
/// The longest pause after failures: soon after a part is back, what waits for it goes on.
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

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

    /// Shows `task_failures_total` and `task_panics_total` among a service's metrics.
    /// [`crate::Unit::new`] does it.
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

    /// Runs `work` to its end in a task of its own, also when the caller of `finish` is dropped.
    /// Verbs that write run in here.
    ///
    /// # Errors
    /// An internal failure if `work` panics.
    pub fn finish<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<Failure> + Send + 'static,
    {
        // A verb's future has kilobytes: the caller's would hold them twice, and each of the
        // wrappers below would copy them.
        let work: Pin<Box<dyn Future<Output = Result<T, E>> + Send>> = Box::pin(work);
        let tasks = self.clone();
        async move {
            let tracker = tasks.tracker.clone();
            let work = async move { tasks.caught("verb", work).await }.in_current_span();
            match tracker.spawn(work).await {
                Ok(Some(result)) => result,
                Ok(None) | Err(_) => Err(Failure::internal("the work panicked").into()),
            }
        }
    }

    /// Runs `due` now, every `period`, and at once when `wake` is notified, until stopping; at once
    /// again while it answers `true` (there is more). An error is logged, counted, and waited out
    /// with back-off, wake or no wake.
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

    /// Tells all tasks to stop and waits for them, at most `limit`; answers how many were still
    /// running.
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_was_begun_is_finished_though_its_caller_leaves() {
        let tasks = Tasks::new();
        let (go, gate) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let work = async move {
            gate.await.unwrap();
            tell.send("done").unwrap();
            Ok::<_, Failure>(())
        };
        {
            let mut caller = std::pin::pin!(tasks.finish(work));
            assert!(futures_util::poll!(caller.as_mut()).is_pending());
        }
        go.send(()).unwrap();
        assert_eq!(told.await.unwrap(), "done");
        assert_eq!(tasks.stop(Duration::from_secs(5)).await, 0);
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_of_one_verb_and_no_more() {
        let (tasks, metrics) = (Tasks::new(), Metrics::new());
        tasks.register(&metrics);
        let failed = tasks.finish(async { panic!("on purpose") }).await;
        assert_eq!(Result::<(), Failure>::unwrap_err(failed).code, kernel::Code::Internal);
        assert_eq!(tasks.finish(async { Ok::<_, Failure>(5) }).await, Ok(5));
        assert!(metrics.encode().contains("task_panics_total{task=\"verb\"} 1"));
    }

    #[tokio::test(start_paused = true)]
    async fn periodic_work_runs_by_period_by_wake_and_at_once_while_there_is_more() {
        let (tasks, wake) = (Tasks::new(), Arc::new(Notify::new()));
        let (runs, seen) = tokio::sync::watch::channel(0);
        let mut seen = seen;
        let started = tokio::time::Instant::now();
        let (hour, count) = (Duration::from_secs(3_600), Arc::new(AtomicU32::new(0)));
        tasks.every("due", hour, wake.clone(), move || {
            let run = count.fetch_add(1, Ordering::SeqCst) + 1;
            runs.send_replace(run);
            async move { Ok(run < 3) }
        });
        seen.wait_for(|runs| *runs == 3).await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(1), "more comes at once");
        wake.notify_one();
        seen.wait_for(|runs| *runs == 4).await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(1), "a wake comes at once");
        seen.wait_for(|runs| *runs == 5).await.unwrap();
        assert!(started.elapsed() >= hour);
        assert_eq!(tasks.stop(Duration::from_secs(1)).await, 0, "a waiting task stops at once");
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_waited_out_longer_and_longer_and_stop_nothing() {
        let (tasks, metrics) = (Tasks::new(), Metrics::new());
        tasks.register(&metrics);
        let (runs, mut seen) = tokio::sync::watch::channel(0_u32);
        let wake = Arc::new(Notify::new());
        let started = tokio::time::Instant::now();
        tasks.every("due", Duration::from_millis(1), wake.clone(), move || {
            runs.send_modify(|runs| *runs += 1);
            let run = *runs.borrow();
            async move {
                assert!(run != 2, "on purpose");
                if run < 12 { Err(Failure::unavailable("down")) } else { Ok(false) }
            }
        });
        wake.notify_one();
        seen.wait_for(|runs| *runs == 5).await.unwrap();
        // 100 + 200 + 400 + 800 ms, whatever period and wake say.
        assert!(started.elapsed() >= Duration::from_millis(1_500));
        seen.wait_for(|runs| *runs == 13).await.unwrap();
        assert!(started.elapsed() < LONGEST_BACKOFF * 12, "the pause has an end");
        assert!(metrics.encode().contains("task_failures_total{task=\"due\"} 10"));
        tasks.stop(Duration::from_secs(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_stop_is_counted() {
        let tasks = Tasks::new();
        tasks.spawn("deaf", std::future::pending());
        assert_eq!(tasks.stop(Duration::from_secs(1)).await, 1);
        assert!(tasks.stopping().is_cancelled());
    }
}
