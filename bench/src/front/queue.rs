//! The waiting queue at the public door: accounts that take a place, and accounts that ask for
//! theirs.

use std::{fmt::Write as _, rc::Rc};

use clap::Args;
use tokio::time::Instant;

use super::{
    asking::{Asking, COLUMNS, Expected, Next, Request, measure},
    mint::{self, Mint},
    platform::{Choice, Hall, StandArgs},
    stand::{Stand, on_this_thread},
};
use crate::Failure;

#[derive(Args, Clone)]
pub(crate) struct QueueArgs {
    #[command(flatten)]
    stand: StandArgs,
    /// How many callers ask at once
    #[arg(long, default_value_t = 128, value_name = "N")]
    callers: u32,
    /// How many accounts there are to take a place
    #[arg(long, default_value_t = 200_000, value_name = "N")]
    accounts: u32,
    /// How many of them ask for their places, each with a course of its own
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000], value_name = "N")]
    asking: Vec<usize>,
}

/// How many more queues there are for accounts whose tokens were verified lately.
const FURTHER: usize = 3;
/// More than any course brings.
const ROOM: &str = "10000000";

/// Measures places taken and places asked for.
pub(crate) fn run(args: &QueueArgs) -> Result<(), Failure> {
    let secret = infra::random_hex(32)?;
    let platform = args.stand.platform(&secret, &[("booking-worker.max_waiting", ROOM)])?;
    let state = platform.house.directory().join("boxoffice/state");
    let url = mint::database(platform.house.database().as_deref(), &state);
    on_this_thread(async {
        let stand = Rc::new(Stand::set(platform, 1).await?);
        let mint = Mint::open(&url, &secret).await?;
        let began = Instant::now();
        let bearers = (0..args.accounts).map(|_| mint.bearer_line());
        let bearers: Rc<Vec<String>> = Rc::new(bearers.collect::<Result<_, _>>()?);
        println!("{} tokens made in {:.1} s\n", bearers.len(), began.elapsed().as_secs_f64());
        let hall = Hall { choice: Choice::Counter, places: 100, queue: true };
        let event = stand.sale(hall).await?.event_id;
        let (mut rows, mut notes) = (Vec::new(), Vec::new());
        let head = format!("GET /api/v1/events/{event}/queue HTTP/1.1\r\n");
        let place = format!("GET /api/v1/events/{event}/queue/place HTTP/1.1\r\n");
        let first = joins(&bearers, (bearers.len(), vec![event]));
        let mut courses = vec![("places taken".to_owned(), 201, first)];
        for accounts in &args.asking {
            let some = bearers.clone();
            let accounts = (*accounts).clamp(1, bearers.len());
            courses.push((
                format!("own place, asked for by {accounts} accounts in turn"),
                200,
                places(some, accounts, place.clone()),
            ));
        }
        courses.push(("the head, without a token".to_owned(), 200, anybody(head)));
        let mut further = Vec::new();
        for _ in 0..FURTHER {
            further.push(stand.sale(hall).await?.event_id);
        }
        let known = args.asking.iter().copied().max().unwrap_or(1).clamp(1, bearers.len());
        let title = "places taken, in further queues, by those who asked".to_owned();
        courses.push((title, 201, joins(&bearers, (known, further))));
        for (title, status, next) in courses {
            let expected = Expected { status, code: None };
            let asking = Asking { title: &title, callers: args.callers, next, expected };
            let (row, note) = measure(&stand, &args.stand, &asking).await?;
            rows.push(row);
            notes.push(format!("{title}: {note}"));
        }
        println!("\n{COLUMNS}\n{}\n\n{}\n", rows.join("\n"), notes.join("\n\n"));
        Stand::end(stand).await
    })?
}

/// Each of the first accounts once in one queue after the other.
fn joins(bearers: &Rc<Vec<String>>, (accounts, events): (usize, Vec<String>)) -> Next {
    let bearers = bearers.clone();
    let line = |event: String| {
        format!("POST /api/v1/events/{event}/queue HTTP/1.1\r\ncontent-type: application/json\r\n")
    };
    let lines: Vec<String> = events.into_iter().map(line).collect();
    Rc::new(move |number, request: &mut Request| {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        let at = (bearers.get(number % accounts), lines.get(number / accounts));
        let (Some(bearer), Some(line)) = at else { return false };
        write_head(request, line, bearer);
        "{}".clone_into(&mut request.body);
        true
    })
}

/// The first accounts, which have taken their places, in turn.
fn places(bearers: Rc<Vec<String>>, accounts: usize, line: String) -> Next {
    Rc::new(move |number, request: &mut Request| {
        let at = usize::try_from(number).unwrap_or_default() % accounts;
        let Some(bearer) = bearers.get(at) else { return false };
        write_head(request, &line, bearer);
        true
    })
}

fn anybody(line: String) -> Next {
    Rc::new(move |_, request: &mut Request| {
        write_head(request, &line, "");
        true
    })
}

fn write_head(request: &mut Request, line: &str, bearer: &str) {
    request.head.clear();
    let _infallible = write!(request.head, "{line}{bearer}");
}
