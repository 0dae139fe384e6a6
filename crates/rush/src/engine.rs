//! The platform as the one who answers: what a buyer does becomes a request, what comes back is
//! what the buyer hears.

mod queue;
mod sale;
mod till;

use std::{
    sync::{Arc, OnceLock, atomic::AtomicBool},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderValue;
use platform::Tasks;
use serde::Deserialize;
use tokio::{
    sync::{Semaphore, SemaphorePermit, oneshot},
    time::{Instant, sleep_until},
};

use crate::{
    Scenario,
    board::Board,
    facts::Facts,
    http::{Answer, Call, Http, Lost},
    journal::Journal,
    model::{Act, Buyer, End, Heard},
    news::{News, NewsDesk},
    stage::Account,
    tally::{Step, Tally},
};

/// Everything that buyers share.
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    /// Tells the keys of this run from those of others.
    pub(crate) run: String,
    pub(crate) gateway: Arc<Http>,
    pub(crate) provider: Arc<Http>,
    pub(crate) publishable_key: String,
    pub(crate) realtime_url: String,
    pub(crate) event_id: String,
    pub(crate) accounts: Vec<Account>,
    pub(crate) board: Board,
    pub(crate) tally: Tally,
    pub(crate) facts: Facts,
    pub(crate) news: NewsDesk,
    pub(crate) journal: Journal,
    pub(crate) tasks: Tasks,
    /// The room of each [`Line`].
    pub(crate) slots: [Semaphore; 3],
    /// Whether everything is sold for good: nobody waits for anything any more.
    pub(crate) all_sold: AtomicBool,
    /// When the doors opened.
    pub(crate) began: OnceLock<Instant>,
}

/// Where requests wait until there is room for them: nobody who is further waits behind all those
/// who are not.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Line {
    /// To join and to look.
    Coming,
    /// To ask for places.
    Asking,
    /// For all that follows.
    Begun,
}

/// A buyer and what it has in hand.
pub(crate) struct Life<'a> {
    world: &'a World,
    account: u32,
    /// Which of the sale's buyers it is.
    number: u64,
    /// When what is done now was to begin.
    intended: Duration,
    /// When what is waited for began: the place, the payment.
    since: Duration,
    /// The number of the place in the queue.
    place: Option<u64>,
    /// Whether giving it up was asked for, and not answered.
    leaves: bool,
    /// In which its requests wait.
    line: Line,
    /// For its next request.
    room: Option<SemaphorePermit<'a>>,
    admission: Option<String>,
    turn: Option<oneshot::Receiver<News>>,
    wish: Option<sale::Asked>,
    booking: Option<sale::Booking>,
    tickets: Option<oneshot::Receiver<News>>,
}

/// The part of a problem that a buyer understands.
#[derive(Deserialize)]
struct Problem<'a> {
    #[serde(borrow)]
    code: std::borrow::Cow<'a, str>,
}

/// How long one who is put off without a time waits.
const PUT_OFF: Duration = Duration::from_secs(1);

impl World {
    /// How long the doors have been open.
    pub(crate) fn now(&self) -> Duration {
        self.began.get().map_or(Duration::ZERO, Instant::elapsed)
    }

    /// When that is.
    pub(crate) fn at(&self, time: Duration) -> Instant {
        self.began.get().copied().unwrap_or_else(Instant::now) + time
    }

    /// The header that signs an account in.
    pub(crate) fn bearer(&self, account: u32) -> HeaderValue {
        let found = self.accounts.get(account as usize);
        found.map_or_else(|| HeaderValue::from_static(""), Account::bearer)
    }

    /// Whether an account is told over a socket.
    fn has_socket(&self, account: u32) -> bool {
        account < self.scenario.account_sockets
    }

    /// Asks once there is room for one more request; waiting for room is part of the latency.
    pub(crate) async fn ask(&self, server: &Http, call: &Call, line: Line) -> Result<Answer, Lost> {
        let _room = self.room(line).await?;
        server.ask(call).await
    }

    /// Room for one more request.
    async fn room(&self, line: Line) -> Result<SemaphorePermit<'_>, Lost> {
        let [coming, asking, begun] = &self.slots;
        let slots = match line {
            Line::Coming => coming,
            Line::Asking => asking,
            Line::Begun => begun,
        };
        if let Ok(room) = slots.try_acquire() {
            return Ok(room);
        }
        self.tally.count(|counts| counts.late += 1);
        slots.acquire().await.map_err(|error| Lost(error.to_string()))
    }
}

/// Lets a buyer live, from the intended arrival on. Answers how it ended.
pub(crate) async fn live(
    world: Arc<World>,
    mut buyer: Buyer,
    (number, account): (u64, u32),
    arrives: Duration,
) -> End {
    let mut life = Life::new(&world, (number, account), arrives);
    let mut heard = Heard::Arrived;
    loop {
        let act = buyer.step(life.intended, heard, &world.scenario.behaviour);
        heard = match act {
            Act::Go(end) => {
                life.forget();
                return end;
            }
            Act::Pause { until } => {
                sleep_until(world.at(until)).await;
                life.intended = until;
                Heard::TimeUp
            }
            act => {
                let heard = life.begin(act).await.unwrap_or_else(|error| {
                    world.tally.lost(name(act), &error.0);
                    Heard::Lost
                });
                life.intended = world.now();
                heard
            }
        };
    }
}

/// Gives up the place that an account may have in the queue, for somebody who is gone already.
pub(crate) async fn depart(world: &World, account: u32) -> Result<(), Lost> {
    let mut life = Life::new(world, (0, account), world.now());
    if life.is_queued().await? {
        life.leave().await?;
    }
    Ok(())
}

/// What an act is called among refusals.
fn name(act: Act) -> &'static str {
    match act {
        Act::Join => "join",
        Act::AwaitTurn { .. } => "place",
        Act::Leave => "leave",
        Act::Look => "look",
        Act::Book(_) => "hold",
        Act::Pay { .. } => "pay",
        Act::AwaitTickets { .. } => "booking",
        Act::Pause { .. } | Act::Go(_) => "",
    }
}

impl<'a> Life<'a> {
    fn new(world: &'a World, (number, account): (u64, u32), arrives: Duration) -> Self {
        Self {
            world,
            account,
            number,
            intended: arrives,
            since: arrives,
            place: None,
            leaves: false,
            line: Line::Coming,
            room: None,
            admission: None,
            turn: None,
            wish: None,
            booking: None,
            tickets: None,
        }
    }

    /// Does something once there is room for its first request: hundreds of thousands may wait for
    /// that, and what is done takes kilobytes.
    async fn begin(&mut self, act: Act) -> Result<Heard, Lost> {
        self.line = match act {
            Act::Join | Act::Look => Line::Coming,
            Act::Book(_) => Line::Asking,
            _ => Line::Begun,
        };
        if matches!(act, Act::Join | Act::Look | Act::Book(_)) {
            self.room = Some(self.world.room(self.line).await?);
        }
        let heard = Box::pin(self.act(act)).await;
        self.room = None;
        heard
    }

    async fn act(&mut self, act: Act) -> Result<Heard, Lost> {
        match act {
            Act::Join => self.join().await,
            Act::AwaitTurn { until, stays } => self.await_turn(until, stays).await,
            Act::Leave => self.leave().await,
            Act::Look => self.look().await,
            Act::Book(wish) => self.book(wish).await,
            Act::Pay { good } => self.pay(good).await,
            Act::AwaitTickets { until } => self.await_tickets(until).await,
            Act::Pause { .. } | Act::Go(_) => Ok(Heard::TimeUp),
        }
    }

    /// Asks the gateway in the account's name.
    async fn ask(&mut self, call: Call) -> Result<Answer, Lost> {
        let call = call.by(&self.world.bearer(self.account));
        let _room = match self.room.take() {
            Some(room) => room,
            None => self.world.room(self.line).await?,
        };
        self.world.gateway.ask(&call).await
    }

    fn took(&self, step: Step) {
        self.world.tally.took(step, self.world.now().saturating_sub(self.intended));
    }

    /// What a refusal means, whatever was asked for.
    async fn refusal(&self, step: &str, answer: &Answer) -> Result<Heard, Lost> {
        let code = code(&answer.body);
        self.world.tally.refused(step, &code);
        Ok(match (answer.status, code.as_str()) {
            (401, _) => {
                if let Some(account) = self.world.accounts.get(self.account as usize) {
                    account.renew(&self.world.gateway).await?;
                }
                Heard::PutOff { after: Duration::ZERO }
            }
            (_, "ADMISSION_REQUIRED") => Heard::NotAdmitted,
            (_, "SEAT_TAKEN") => Heard::SeatTaken,
            (_, "SOLD_OUT") => Heard::SoldOut,
            (429 | 503, _) => {
                self.took(Step::PutOff);
                self.world.tally.second(self.world.now(), |second| second.put_off += 1);
                Heard::PutOff { after: answer.retry_after.unwrap_or(PUT_OFF) }
            }
            (500.., _) => Heard::Lost,
            _ => Heard::Refused,
        })
    }

    /// Nobody waits for news any more.
    fn forget(&self) {
        use crate::news::Topic;
        self.world.news.forget(&Topic::Turn(self.account));
        if let Some(booking) = &self.booking {
            self.world.news.forget(&Topic::Booking(booking.id.clone()));
        }
    }
}

/// The code of a problem; the whole text where it is none.
fn code(body: &Bytes) -> String {
    serde_json::from_slice::<Problem<'_>>(body).map_or_else(
        |_| String::from_utf8_lossy(body).chars().take(60).collect(),
        |problem| problem.code.into_owned(),
    )
}
