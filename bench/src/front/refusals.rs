//! Refusals: of those who come to an event that is sold out, and of those who come to the sale
//! without an admission from its queue.

use std::{fmt::Write as _, rc::Rc};

use clap::{Args, ValueEnum};
use rush::FLOOR;

use super::{
    asking::{Asking, COLUMNS, Expected, Next, Request, measure},
    buyer::{hold_head, sell_out},
    platform::{Choice, Hall, StandArgs},
    stand::{Stand, on_this_thread},
};
use crate::Failure;

#[derive(Args, Clone)]
pub(crate) struct RefusalsArgs {
    #[command(flatten)]
    stand: StandArgs,
    /// How many ask at once, each with a course of its own
    #[arg(long, value_delimiter = ',', default_values_t = [64, 256], value_name = "N")]
    callers: Vec<u32>,
    /// What they ask for: holds or bookings
    #[arg(long, value_delimiter = ',', default_value = "holds,bookings", value_name = "WHAT")]
    of: Vec<Wanted>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Wanted {
    /// Places, before there is a booking
    Holds,
    /// Bookings, each under a key of its own
    Bookings,
}

/// As many seats as the hall has that is sold out: a row or two.
const SEATS: u32 = 60;

/// Measures each kind of refusal.
pub(crate) fn run(args: &RefusalsArgs) -> Result<(), Failure> {
    let platform = args.stand.platform(&infra::random_hex(32)?, &[])?;
    let most = args.callers.iter().copied().max().unwrap_or(1);
    on_this_thread(async {
        let stand = Rc::new(Stand::set(platform, most).await?);
        let (mut rows, mut notes) = (Vec::new(), Vec::new());
        for (title, hall, wish, code) in kinds() {
            let sale = stand.sale(hall).await?;
            let event_id = sale.event_id.clone();
            let first = format!("{:?}", sale.seats.first().map_or("", String::as_str));
            if !hall.queue {
                sell_out(&stand, sale, hall).await?;
            }
            let wish = wish.replace("SEAT", &first);
            let body = format!(r#"{{"event_id":"{event_id}","choice":{wish}}}"#);
            let run = infra::random_hex(4)?;
            let courses = args.of.iter().flat_map(|of| args.callers.iter().map(move |n| (of, n)));
            for (of, callers) in courses {
                let title = &format!("{of:?}: {title}").to_lowercase();
                let next = repeat(&stand, (*of, &run, *callers), &body);
                let expected = Expected { status: if hall.queue { 403 } else { 409 }, code };
                let asking = Asking { title, callers: *callers, next, expected };
                let (row, note) = measure(&stand, &args.stand, &asking).await?;
                rows.push(row);
                notes.push(format!("{title}, {callers} callers: {note}"));
            }
        }
        println!("\n{COLUMNS}\n{}\n\n{}\n", rows.join("\n"), notes.join("\n\n"));
        Stand::end(stand).await
    })?
}

type Kind = (&'static str, Hall, String, Option<&'static str>);

/// What is sold, what is asked for there, and why it is refused.
fn kinds() -> [Kind; 4] {
    let admission = format!(r#"{{"admissions":{{"section":"{FLOOR}","quantity":1}}}}"#);
    let best = r#"{"best_available":{"quantity":2}}"#.to_owned();
    let counter = Hall { choice: Choice::Counter, places: 1, queue: false };
    let seats = Hall { choice: Choice::Best, places: SEATS, queue: false };
    let queue = Hall { queue: true, places: 100, ..counter };
    [
        ("sold out, one counter", counter, admission.clone(), Some("SOLD_OUT")),
        ("sold out, best available", seats, best, Some("SOLD_OUT")),
        ("a seat that is sold", seats, r#"{"seats":[SEAT]}"#.to_owned(), None),
        ("no admission", queue, admission, Some("ADMISSION_REQUIRED")),
    ]
}

/// Each request under an id or a key of its own, by one account after the other.
fn repeat(stand: &Rc<Stand>, (of, run, callers): (Wanted, &str, u32), body: &str) -> Next {
    let (stand, body, key) = (stand.clone(), body.to_owned(), format!("{run}-{callers}"));
    Rc::new(move |number, request: &mut Request| {
        let at = usize::try_from(number).unwrap_or_default() % stand.bearers.len().max(1);
        let Some(bearer) = stand.bearers.get(at) else { return false };
        request.head.clear();
        let _infallible = match of {
            Wanted::Holds => write!(request.head, "{}", hold_head(bearer)),
            Wanted::Bookings => write!(
                request.head,
                "POST /api/v1/bookings HTTP/1.1\r\ncontent-type: application/json\r\n\
                 idempotency-key: bench-{key}-{number}\r\n{bearer}"
            ),
        };
        request.body.clone_from(&body);
        true
    })
}
