//! The queue: taking a place, waiting for one's turn, giving up.

use std::{sync::atomic::Ordering, time::Duration};

use serde::Deserialize;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::Life;
use crate::{
    facts::{PlaceSeen, Standing},
    http::{Answer, Call, Lost},
    journal::Told,
    model::Heard,
    news::{News, Topic},
    tally::Step,
};

/// How much more seldom those ask who are told over a socket.
const TOLD: u32 = 5;

#[derive(Deserialize)]
struct Place {
    number: u64,
    serving: u64,
    status: String,
    #[serde(default)]
    admission_token: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

impl Life<'_> {
    pub(super) async fn join(&mut self) -> Result<Heard, Lost> {
        let world = self.world;
        // News may be quicker than the answer.
        self.turn = Some(world.news.subscribe(Topic::Turn(self.account)));
        self.since = self.intended;
        let known = world.facts.serving();
        let path = format!("/api/v1/events/{}/queue", world.event_id);
        let answer = self.ask(Call::post(&path, "{}")?).await?;
        if answer.status != 201 {
            return self.refusal("join", &answer).await;
        }
        self.took(Step::Join);
        self.placed(&answer, known)
    }

    pub(super) async fn await_turn(&mut self, until: Duration, stays: bool) -> Result<Heard, Lost> {
        let world = self.world;
        let period = world.scenario.poll_period;
        let period = if world.has_socket(self.account) { period * TOLD } else { period };
        // Not all who come at the same time ask at the same time.
        let share = f64::from(self.account % 97) / 97.0;
        let mut next = Instant::now() + period.mul_f64(0.5 + share / 2.0);
        loop {
            let wake = next.min(world.at(until));
            if let Some(News::Admitted { token }) = news(&mut self.turn, wake).await {
                self.note_place("admitted");
                world.tally.took(Step::Turn, world.now().saturating_sub(self.since));
                self.admission = Some(token);
                return Ok(Heard::Admitted);
            }
            if world.now() >= until {
                return Ok(Heard::TimeUp);
            }
            next += period;
            self.intended = world.now();
            match self.my_place().await? {
                Heard::Admitted => {
                    world.tally.took(Step::Turn, world.now().saturating_sub(self.since));
                    return Ok(Heard::Admitted);
                }
                Heard::Queued => {}
                Heard::Halted if stays && world.all_sold.load(Ordering::Relaxed) => {
                    return Ok(Heard::TimeUp);
                }
                Heard::Halted if stays => {}
                heard => return Ok(heard),
            }
        }
    }

    pub(super) async fn leave(&mut self) -> Result<Heard, Lost> {
        let path = format!("/api/v1/events/{}/queue/place", self.world.event_id);
        let answer = self.ask(Call::delete(&path)?).await;
        // Who asks again may have been heard the first time.
        let again = std::mem::replace(&mut self.leaves, answer.is_err());
        let answer = answer?;
        if answer.status == 204 || (answer.status == 404 && again) {
            self.note_place("left");
            return Ok(Heard::Left);
        }
        let heard = match answer.status {
            404 => Heard::Refused,
            _ => self.refusal("leave", &answer).await?,
        };
        if heard != Heard::Refused {
            return Ok(heard);
        }
        // The turn has come just now, or came while the request was under way.
        let seen = self.my_place().await?;
        Ok(if seen == Heard::Admitted { seen } else { Heard::Left })
    }

    /// Whether there is a place that waits.
    pub(super) async fn is_queued(&mut self) -> Result<bool, Lost> {
        let known = self.world.facts.serving();
        let path = format!("/api/v1/events/{}/queue/place", self.world.event_id);
        let answer = self.ask(Call::get(&path)?).await?;
        // Who left before the place was given has none.
        if answer.status == 404 {
            return Ok(false);
        }
        Ok(matches!(self.placed(&answer, known)?, Heard::Queued | Heard::Halted))
    }

    async fn my_place(&mut self) -> Result<Heard, Lost> {
        let known = self.world.facts.serving();
        let path = format!("/api/v1/events/{}/queue/place", self.world.event_id);
        let answer = self.ask(Call::get(&path)?).await?;
        match answer.status {
            200 => {
                self.took(Step::Place);
                self.placed(&answer, known)
            }
            404 => {
                self.lost_in_the_queue();
                Ok(Heard::NotAdmitted)
            }
            _ => self.refusal("place", &answer).await,
        }
    }

    /// What an answer about the own place says.
    fn placed(&mut self, answer: &Answer, known: u64) -> Result<Heard, Lost> {
        let place: Place = serde_json::from_slice(&answer.body)
            .map_err(|error| Lost(format!("no place: {error}")))?;
        let standing = match place.status.as_str() {
            "waiting" => Standing::Waits,
            "admitted" => Standing::Admitted,
            _ => Standing::Other,
        };
        let (number, serving) = (place.number, place.serving);
        self.world.facts.place(self.account, &PlaceSeen { number, serving, standing }, known);
        self.place = Some(number);
        self.note_place(&place.status);
        Ok(match (place.status.as_str(), place.reason.as_deref()) {
            ("waiting", Some("SOLD_OUT")) => Heard::Halted,
            ("waiting" | "processing", _) => Heard::Queued,
            ("admitted", _) => {
                self.admission = place.admission_token;
                Heard::Admitted
            }
            (_, Some("SALE_OVER")) => Heard::Closed,
            _ => Heard::NotAdmitted,
        })
    }

    fn lost_in_the_queue(&self) {
        let (account, place) = (self.account, self.place);
        self.world.facts.violation(format!("account {account} is lost in the queue at {place:?}"));
    }

    /// Writes down what became of the own place.
    fn note_place(&self, status: &str) {
        let account = self.world.accounts.get(self.account as usize);
        if let (Some(number), Some(account)) = (self.place, account) {
            let (account, event) = (account.id.as_str(), self.world.event_id.as_str());
            self.world.journal.note(&Told::Place { account, event, number, status });
        }
    }
}

/// News that come until then, if any do. Who hears nothing any more waits all the same.
pub(super) async fn news(
    from: &mut Option<oneshot::Receiver<News>>,
    until: Instant,
) -> Option<News> {
    if let Some(receiver) = from {
        match timeout_at(until, receiver).await {
            Ok(Ok(news)) => {
                *from = None;
                return Some(news);
            }
            Ok(Err(_)) => *from = None,
            Err(_) => return None,
        }
    }
    tokio::time::sleep_until(until).await;
    None
}
