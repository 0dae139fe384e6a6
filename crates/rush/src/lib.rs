#![doc = include_str!("../README.md")]

mod background;
mod board;
mod curve;
mod dice;
mod drive;
mod engine;
mod facts;
mod house;
mod http;
mod journal;
mod machine;
mod meter;
mod model;
mod news;
mod overload;
mod page;
mod plan;
mod proof;
mod report;
mod scenario;
mod stage;
mod tally;
mod text;

pub use curve::{Curve, UnknownCurve};
pub use drive::{Options, Place, run};
pub use house::{House, Product, Shape};
pub use http::{Answer, Call, Http, Lost};
pub use machine::Flush;
pub use meter::{Meter, Part, RUSH, Usage, Wal};
pub use model::{Behaviour, End};
pub use overload::Overload;
pub use plan::{Advice, Costs, Forecast, Trial, advise, compare, forecast};
pub use report::Report;
pub use scenario::{Background, Preset, Scenario, Senseless};
pub use stage::{Account, Directions, FLOOR, Sale, accounts, directions, sale};
pub use tally::{Latency, Second, Step};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

impl Failure {
    /// A failure in words.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl From<UnknownCurve> for Failure {
    fn from(error: UnknownCurve) -> Self {
        Self(error.to_string())
    }
}

impl From<Senseless> for Failure {
    fn from(error: Senseless) -> Self {
        Self(error.to_string())
    }
}

impl From<http::Lost> for Failure {
    fn from(error: http::Lost) -> Self {
        Self(error.0)
    }
}

impl From<infra::Failure> for Failure {
    fn from(error: infra::Failure) -> Self {
        Self(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

/// Runs `work` until it ends or `tasks` are stopped.
fn spawn(
    tasks: &platform::Tasks,
    name: &'static str,
    work: impl Future<Output = ()> + Send + 'static,
) {
    let stopping = tasks.stopping();
    tasks.spawn(name, async move {
        let _stopped = stopping.run_until_cancelled(work).await;
    });
}
