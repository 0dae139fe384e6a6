//! One request again and again: callers that ask, and expect one answer. What else comes is
//! counted as a refusal.

use std::{cell::Cell, rc::Rc};

use tokio::time::Instant;

use super::{connection::Connection, platform::StandArgs, stand::Stand, tally::Tally};
use crate::Failure;

/// A request whose parts are written anew each time.
#[derive(Default)]
pub(crate) struct Request {
    /// The request line, and headers beside the host and the length, each with its line end.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// What callers do.
pub(crate) struct Asking<'a> {
    /// What it is called in the table.
    pub(crate) title: &'a str,
    pub(crate) callers: u32,
    pub(crate) next: Next,
    pub(crate) expected: Expected,
}

/// Writes the request with this number, from 0; `false` if there is none any more.
pub(crate) type Next = Rc<dyn Fn(u64, &mut Request) -> bool>;

/// The answer that counts.
#[derive(Clone, Copy)]
pub(crate) struct Expected {
    pub(crate) status: u16,
    /// The code of the problem; none where it is not looked at.
    pub(crate) code: Option<&'static str>,
}

const STEPS: &[&str] = &["answered"];

/// The head of what [`measure`] prints.
pub(crate) const COLUMNS: &str = "| what | callers | a second | best second | p50 / p99 ms | \
    CPU-ms each (callers' own) | other answers |\n|---|--:|--:|--:|--:|--:|---|";

/// Measures one course, and prints how far it is; answers the row of the table, and what it took.
pub(crate) async fn measure(
    stand: &Rc<Stand>,
    args: &StandArgs,
    asking: &Asking<'_>,
) -> Result<(String, String), Failure> {
    let Asking { title, callers, ref next, expected } = *asking;
    println!("{title}, {callers} callers:");
    let tally = Rc::new(Tally::new(STEPS, args.course())?);
    let asked = Rc::new(Cell::new(0_u64));
    let crowd = (0..callers).map(|_| {
        let (stand, tally, next) = (stand.clone(), tally.clone(), next.clone());
        let asked = asked.clone();
        async move || {
            let mut gateway = Connection::open(stand.gateway_at).await?;
            let mut request = Request::default();
            while tally.goes_on() {
                let number = asked.replace(asked.get() + 1);
                if !next(number, &mut request) {
                    break;
                }
                let began = Instant::now();
                let answer = gateway.ask(&[&request.head], &request.body).await?;
                if expected.is(answer.status, || answer.text("code")) {
                    tally.did(0, began);
                } else {
                    tally.refused(answer.refusal());
                }
            }
            Ok(())
        }
    });
    let taken = stand.run(&tally, crowd.collect()).await?;
    let pace = tally.pace(0).ok_or("no such step")?;
    let (platform, own) = taken.cpu_ms_each(pace.count);
    let row = format!(
        "| {title} | {callers} | **{:.0}** | {} | {pace} | {:.4} ({own:.4}) | {} |",
        pace.per_second,
        pace.best_second,
        platform + own,
        tally.refusals()
    );
    Ok((row, taken.text(pace.count)))
}

impl Expected {
    fn is<'t>(self, status: u16, code: impl FnOnce() -> Option<&'t str>) -> bool {
        status == self.status && self.code.is_none_or(|expected| code() == Some(expected))
    }
}
