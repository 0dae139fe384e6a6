//! Complete bookings a second: buyers in a closed loop, with each way to choose and so many at
//! once; on demand the same on a platform that decides one request at a time, in turns.

use std::rc::Rc;

use clap::Args;

use super::{
    bare::Books,
    buyer::{CONFIRMED, HELD, LOOKED, PAID, STEPS, WHOLE, Wishes, crowd, sell},
    platform::{Choice, Hall, StandArgs},
    stand::{Stand, on_this_thread},
    tally::Tally,
};
use crate::Failure;

#[derive(Args, Clone)]
pub(crate) struct BookingsArgs {
    #[command(flatten)]
    stand: StandArgs,
    /// How many buyers at once, each with a course of its own
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 256], value_name = "N")]
    callers: Vec<u32>,
    /// How they choose, each with a course and a hall of its own
    #[arg(long, value_delimiter = ',', default_value = "counter,random,best", value_name = "WAY")]
    choice: Vec<Choice>,
    /// Places of a booking
    #[arg(long, default_value_t = 1)]
    places: u32,
    /// Places of each hall
    #[arg(long, default_value_t = 100_000)]
    hall: u32,
    /// Also without coalescing, on a second platform, in turns
    #[arg(long)]
    uncoalesced: bool,
    /// Also on a second platform, which has sold so many tickets before
    #[arg(long, value_name = "TICKETS")]
    sold: Option<u32>,
    /// Also the bare database: the same rows once more, in the same batches; only where there is
    /// PostgreSQL
    #[arg(long)]
    bare: bool,
}

/// A transaction a request, on every connection of a service to its database.
const UNCOALESCED: [(&str, &str); 6] = [
    ("booking.max_batch", "1"),
    ("booking.lanes", "8"),
    ("payment.max_batch", "1"),
    ("payment.lanes", "8"),
    ("ticket.max_batch", "1"),
    ("ticket.lanes", "8"),
];

const COLUMNS: &str = "| hall | platform | buyers | bookings/s | best second | hold p50 / p99 ms | \
    pay | paid to confirmed | whole | CPU-ms each (callers' own) | looks each | refused |\n\
    |---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|";

/// Measures each number of callers with each way to choose.
pub(crate) fn run(args: &BookingsArgs) -> Result<(), Failure> {
    let shipped: &[(&str, &str)] = &[];
    let mut ways = vec![("as shipped".to_owned(), shipped, 0)];
    if args.uncoalesced {
        ways.push(("one request at a time".to_owned(), &UNCOALESCED, 0));
    }
    if let Some(sold) = args.sold {
        ways.push((format!("{sold} sold before"), shipped, sold));
    }
    let mut platforms = Vec::new();
    for (name, settings, sold) in ways {
        let platform = args.stand.platform(&infra::random_hex(32)?, settings)?;
        platforms.push((name, platform, sold));
    }
    let most = args.callers.iter().copied().max().unwrap_or(1);
    on_this_thread(async {
        let mut stands = Vec::new();
        for (name, platform, sold) in platforms {
            let stand = Rc::new(Stand::set(platform, most).await?);
            sell(&stand, sold).await?;
            stands.push((name, stand));
        }
        let mut rows = String::new();
        for choice in &args.choice {
            for callers in &args.callers {
                for (name, stand) in &stands {
                    println!("### {choice}, {callers} buyers, {name}\n");
                    let (row, note) = course(stand, args, *choice, *callers).await?;
                    let row = format!("| {choice} | {name} | {callers} | {row} |");
                    println!("\n{COLUMNS}\n{row}\n\n{note}\n");
                    rows += &format!("{row}\n");
                }
            }
        }
        println!("### All\n\n{COLUMNS}\n{rows}");
        for (_, stand) in stands {
            Stand::end(stand).await?;
        }
        Ok(())
    })?
}

/// One course in a hall of its own: its row, and what it took.
async fn course(
    stand: &Rc<Stand>,
    args: &BookingsArgs,
    choice: Choice,
    callers: u32,
) -> Result<(String, String), Failure> {
    let sale = stand.sale(Hall { choice, places: args.hall, queue: false }).await?;
    let tally = Rc::new(Tally::new(STEPS, args.stand.course())?);
    let wishes = Wishes::new(sale, (choice, args.hall), args.places);
    let buyers = crowd(stand, callers, (wishes, &tally))?.into_iter();
    let crowd = buyers.map(|buyer| async move || buyer.buy().await).collect();
    let books = match stand.house.database().filter(|_| args.bare) {
        Some(server) => Some(Books::read(&server).await?),
        None => None,
    };
    let taken = stand.run(&tally, crowd).await?;
    let pace = |step| tally.pace(step).ok_or("no such step");
    let (held, paid, confirmed, whole) = (pace(HELD)?, pace(PAID)?, pace(CONFIRMED)?, pace(WHOLE)?);
    let (platform, own) = taken.cpu_ms_each(confirmed.count);
    let row = format!(
        "**{:.0}** | {} | {held} | {paid} | {confirmed} | {whole} | {:.3} ({own:.3}) | {:.1} | {}",
        confirmed.per_second,
        confirmed.best_second,
        platform + own,
        tally.all(LOOKED) as f64 / tally.all(CONFIRMED).max(1) as f64,
        tally.refusals()
    );
    let mut note = taken.text(confirmed.count);
    if let Some(books) = books {
        let bare = books.replay(tally.all(CONFIRMED), stand.parts()).await?;
        note += &format!("\n{}", bare.text(confirmed.per_second));
    }
    Ok((row, note))
}
