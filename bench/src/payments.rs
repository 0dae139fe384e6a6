//! Payments per second, from the intent to the capture: what payment-service and its provider cost
//! together.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use db::Stats;
use hdrhistogram::Histogram;
use kernel::{AccountId, BookingId, Clock, SystemClock};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout},
};
use wire::pb::{
    kernel::v1::Money,
    payment::v1::{CapturePaymentRequest, CreateIntentRequest, PaymentState},
};

use crate::{
    Bench, Engine, Failure,
    processor::{Meter, Spent},
    till::{Client, PUBLISHABLE_KEY, Till},
};

const CALLERS: [usize; 3] = [1, 32, 256];
/// How much longer than asked for a run may take.
const GRACE: Duration = Duration::from_secs(60);
/// The longest a payment may take.
const LONGEST: Duration = Duration::from_secs(30);
const DIGITS: u8 = 2;
const WARM_UP: Duration = Duration::from_millis(300);
const WARM_UP_CALLERS: usize = 32;
const AMOUNT_MINOR: i64 = 4_200;

/// Measures one engine, and prints a table.
pub(crate) async fn run(bench: &Bench<'_>, engine: Engine, time: Duration) -> Result<(), Failure> {
    let meter = bench.meter(engine).await?;
    let name = format!("payments_{engine}");
    let till = Till::open(&bench.url(engine, "payments")?, bench.directory, &name).await?;
    let till = Arc::new(till);
    measure(&till, WARM_UP_CALLERS, WARM_UP, meter).await?;
    println!("### {engine}: intent made, card accepted, webhook, captured, webhook\n");
    println!(
        "| callers | payments/s | p50 ms | p99 ms | CPU-ms a payment (PostgreSQL's share) | \
         statements | commits | statements of the provider | its commits |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for callers in CALLERS {
        let measured = measure(&till, callers, time, meter).await?;
        println!("| {callers} | {} |", measured.cells());
    }
    println!();
    let till = Arc::into_inner(till).ok_or("somebody still pays")?;
    till.close().await
}

/// What came of a run.
struct Measured {
    paid: u64,
    took: Duration,
    spent: Spent,
    /// Of the service's database and the provider's.
    done: [Stats; 2],
    /// In microseconds.
    latency: Histogram<u64>,
}

impl Measured {
    fn cells(&self) -> String {
        let paid = self.paid.max(1) as f64;
        let each = |count: u64| count as f64 / paid;
        let at = |percent| self.latency.value_at_percentile(percent) as f64 / 1_000.0;
        let [own, provider] = &self.done;
        format!(
            "**{:.0}** | {:.2} | {:.2} | {:.3} ({:.3}) | {:.1} | {:.2} | {:.1} | {:.2}",
            self.paid as f64 / self.took.as_secs_f64(),
            at(50.0),
            at(99.0),
            self.spent.ours_ms() / paid,
            self.spent.postgres_ms / paid,
            each(own.statements),
            each(own.commits),
            each(provider.statements),
            each(provider.commits),
        )
    }
}

/// Lets `callers` pay for this time, and waits until all that follows from it is over.
async fn measure(
    till: &Arc<Till>,
    callers: usize,
    time: Duration,
    meter: Meter,
) -> Result<Measured, Failure> {
    till.settle().await?;
    let stats = || [till.db.stats(), till.ledger.stats()];
    let (before, done_before, began) = (meter.read()?, stats(), Instant::now());
    let mut crowd = JoinSet::new();
    for _ in 0..callers {
        let caller = Caller {
            till: till.clone(),
            client: till.client()?,
            browser: Browser::open(till.provider).await?,
            until: began + time,
        };
        crowd.spawn(caller.pay());
    }
    let longest = u64::try_from(LONGEST.as_micros())?;
    let mut latency = Histogram::new_with_max(longest, DIGITS)?;
    let gather = async {
        while let Some(paid) = crowd.join_next().await {
            latency.add(&paid??)?;
        }
        Ok::<_, Failure>(())
    };
    timeout(time + GRACE, gather).await.map_err(|_| "callers that never come back")??;
    let took = began.elapsed();
    till.settle().await?;
    let spent = meter.read()?.since(before);
    let [own, provider] = stats();
    let [own_before, provider_before] = done_before;
    let done = [since(own, own_before), since(provider, provider_before)];
    Ok(Measured { paid: latency.len(), took, spent, done, latency })
}

fn since(now: Stats, before: Stats) -> Stats {
    let (statements, commits) = (now.statements - before.statements, now.commits - before.commits);
    Stats { statements, commits, ..now }
}

/// A booking-service and a buyer in one.
struct Caller {
    till: Arc<Till>,
    client: Client,
    browser: Browser,
    until: Instant,
}

impl Caller {
    /// Pays one booking after the other until the time is over; how long each took.
    async fn pay(mut self) -> Result<Histogram<u64>, Failure> {
        let longest = u64::try_from(LONGEST.as_micros())?;
        let mut latency = Histogram::new_with_max(longest, DIGITS)?;
        while Instant::now() < self.until {
            let began = Instant::now();
            timeout(LONGEST, self.pay_once()).await.map_err(|_| "a payment that never ends")??;
            latency.saturating_record(u64::try_from(began.elapsed().as_micros())?);
        }
        Ok(latency)
    }

    async fn pay_once(&mut self) -> Result<(), Failure> {
        let now = SystemClock.now();
        let booking_id = BookingId::new(&*self.till.ids, now).to_string();
        let request = CreateIntentRequest {
            booking_id: booking_id.clone(),
            booking_reference: "BKG7Q2M4X".to_owned(),
            account_id: AccountId::new(&*self.till.ids, now).to_string(),
            amount: Some(Money { minor: AMOUNT_MINOR, currency: "EUR".to_owned() }),
        };
        let made = self.client.create_intent(request).await?.into_inner();
        let authorized = self.till.authorized(&booking_id);
        self.browser.confirm(&made.provider_reference, &made.client_secret).await?;
        authorized.await?;
        let capture = CapturePaymentRequest { payment_id: made.payment_id };
        let captured = self.client.capture_payment(capture).await?.into_inner();
        match captured.state() {
            PaymentState::Captured => Ok(()),
            state => Err(format!("captured, and it is {state:?}").into()),
        }
    }
}

/// A buyer's browser with a connection to the provider: as little as can be, since it is not what
/// is measured.
struct Browser {
    stream: TcpStream,
    provider: SocketAddr,
    answer: Vec<u8>,
}

impl Browser {
    async fn open(provider: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(provider).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, provider, answer: Vec::new() })
    }

    /// Pays an intent with a card that is accepted.
    async fn confirm(&mut self, intent: &str, client_secret: &str) -> Result<(), Failure> {
        let form = format!(
            "key={PUBLISHABLE_KEY}&client_secret={client_secret}&payment_method=pm_card_visa"
        );
        let request = format!(
            "POST /v1/payment_intents/{intent}/confirm HTTP/1.1\r\nhost: {}\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
            self.provider,
            form.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.answer.clear();
        while !self.is_complete()? {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err("the provider hung up".into());
            }
        }
        if self.answer.starts_with(b"HTTP/1.1 200 ") {
            return Ok(());
        }
        Err(format!("not paid: {}", String::from_utf8_lossy(&self.answer)).into())
    }

    /// Whether the answer is there with its body, whose length its head says.
    fn is_complete(&self) -> Result<bool, Failure> {
        let end = self.answer.windows(4).position(|window| window == b"\r\n\r\n");
        let Some(end) = end else { return Ok(false) };
        let (head, body) = self.answer.split_at(end + 4);
        let head = std::str::from_utf8(head)?.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.ok_or("an answer without a length")?.trim().parse()?;
        Ok(body.len() >= length)
    }
}
