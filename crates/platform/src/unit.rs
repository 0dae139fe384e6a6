//! A service as built and not yet started: its faces, tasks and probes.

use std::{pin::Pin, sync::Arc};

use axum::Router;
use db::Db;
use wire::Server;

use crate::{Metrics, Tasks, database_metrics};

/// Starts one long-running task of a service with the service's [`Tasks`].
pub type Task = Box<dyn FnOnce(Tasks) + Send>;

/// Says whether a part works, or why not.
pub type Probe =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// A service as `build` returns it: nothing of it runs until the host starts it.
pub struct Unit {
    /// The service's name: `booking`, `booking-worker`.
    pub name: &'static str,
    /// Its gRPC server.
    pub grpc: Option<Server>,
    /// Its own HTTP routes. The host adds `/health`, `/ready` and `/metrics`.
    pub http: Option<Router>,
    /// What to start once the faces listen.
    pub tasks: Vec<Task>,
    /// What `/ready` asks.
    pub probes: Vec<(&'static str, Probe)>,
    /// Its metrics.
    pub metrics: Metrics,
    /// Tracks its tasks, also those that handlers start.
    pub tracked: Tasks,
}

impl Unit {
    /// A service with nothing in it.
    #[must_use]
    pub fn new(name: &'static str, metrics: Metrics, tracked: Tasks) -> Self {
        tracked.register(&metrics);
        Self {
            name,
            grpc: None,
            http: None,
            tasks: Vec::new(),
            probes: Vec::new(),
            metrics,
            tracked,
        }
    }

    /// With this gRPC server.
    #[must_use]
    pub fn grpc(mut self, server: impl Into<Server>) -> Self {
        self.grpc = Some(server.into());
        self
    }

    /// With these HTTP routes.
    #[must_use]
    pub fn http(mut self, router: Router) -> Self {
        self.http = Some(router);
        self
    }

    /// With something to start once the faces listen.
    #[must_use]
    pub fn task(mut self, start: impl FnOnce(Tasks) + Send + 'static) -> Self {
        self.tasks.push(Box::new(start));
        self
    }

    /// With something that `/ready` asks.
    #[must_use]
    pub fn probe(mut self, name: &'static str, probe: Probe) -> Self {
        self.probes.push((name, probe));
        self
    }

    /// With a database that it can't work without: `/ready` asks whether it answers, and the
    /// metrics tell what it has done.
    #[must_use]
    pub fn database(self, db: Db) -> Self {
        database_metrics::register(&self.metrics, db.clone());
        let probe: Probe = Arc::new(move || {
            let db = db.clone();
            Box::pin(async move {
                let answers = db.read(|tx| {
                    Box::pin(async move { tx.query_one("select 1", &[]).await.map(drop) })
                });
                answers.await.map_err(|error: db::Error| error.to_string())
            })
        });
        self.probe("database", probe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_has_lost_its_database_is_not_ready() {
        for test in testkit::databases(&[]).await {
            let unit = Unit::new("test", Metrics::new(), Tasks::new()).database(test.db.clone());
            let (part, probe) = &unit.probes[0];
            assert_eq!((*part, probe().await), ("database", Ok(())));
            let told = unit.metrics.encode();
            assert!(told.contains("\ndb_statements_total 1\n"), "{told}");
            test.db.close().await;
            assert!(probe().await.is_err(), "{}", test.engine());
        }
    }
}
