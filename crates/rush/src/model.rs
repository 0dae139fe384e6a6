//! A buyer as a state machine: what is heard leads to what is done next. No I/O, no clock: time is
//! an argument, chance is the buyer's own. The load and the plan both let these buyers live; they
//! differ only in who answers.

mod words;

use std::time::Duration;

use serde::Serialize;

pub use self::words::End;
pub(crate) use self::words::{Act, Heard, Way, Wish};
use crate::dice::Dice;

/// How buyers behave.
#[derive(Debug, Clone, Serialize)]
pub struct Behaviour {
    /// Whether there is a queue before the event.
    pub queue: bool,
    /// Whether one holds places first, and books them when one pays; else one books at once.
    pub holds_first: bool,
    /// How many of ten choose seats on the map, take the best available, take admissions.
    pub ways: [u32; 3],
    /// A booking is for one to so many places.
    pub most_places: u32,
    /// How often one asks for places until one gives up for this time.
    pub tries: u32,
    /// How long one looks at the map, on average.
    pub look_mean: Duration,
    /// How long it takes to find the card: the median of a lognormal distribution.
    pub pay_median: Duration,
    /// The deviation of its logarithm.
    pub pay_sigma: f64,
    /// The probability that a card is declined.
    pub decline: f64,
    /// The probability to walk away from places that are held.
    pub abandon: f64,
    /// How long one waits in the queue until one leaves it, on average.
    pub patience_mean: Duration,
    /// The probability to come back after having left with nothing, or to stay in a queue that
    /// stands still because all is sold.
    pub come_back: f64,
    /// After how long, on average.
    pub come_back_mean: Duration,
    /// How often one comes at most.
    pub visits: u32,
    /// How often in a row one is put off, or not answered, until one goes away.
    pub put_offs: u32,
}

/// How long one waits for what was paid for.
const CONFIRMATION_PATIENCE: Duration = Duration::from_secs(60);
/// How often in a row those are put off, at least, who have places.
const BEGUN_PUT_OFFS: u32 = 40;
/// How many cards one has.
const CARDS: u32 = 3;
/// The pause before something that was lost on the way is tried again.
const LOST_PAUSE: Duration = Duration::from_millis(500);
/// How long a standby waits before the next look.
const STANDBY_PAUSE: Duration = Duration::from_millis(700);
const STANDBY_VISITS: u32 = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Outside,
    Queue { until: Duration, stays: bool },
    Leaving(End),
    Map,
    Choosing(Wish),
    Asking(Wish),
    Purse,
    Till { good: bool },
    Tickets,
}

/// One buyer.
#[derive(Debug, Clone)]
pub(crate) struct Buyer {
    dice: Dice,
    stage: Stage,
    /// Comes for what others left, pays at once, and does not give up.
    standby: bool,
    visits: u32,
    tries: u32,
    cards: u32,
    wishes: u32,
    put_offs: u32,
    /// What to do once a pause is over that is none of the stage's own.
    again: Option<Act>,
}

impl Buyer {
    /// The buyer `number` of a sale.
    pub(crate) fn new(seed: u64, number: u64) -> Self {
        Self {
            dice: Dice::new(seed, number),
            stage: Stage::Outside,
            standby: false,
            visits: 0,
            tries: 0,
            cards: 0,
            wishes: 0,
            put_offs: 0,
            again: None,
        }
    }

    /// One of those who wait for what others leave.
    pub(crate) fn standby(seed: u64, number: u64) -> Self {
        Self { standby: true, ..Self::new(seed, number) }
    }

    /// What to do next, now that this was heard.
    pub(crate) fn step(&mut self, now: Duration, heard: Heard, how: &Behaviour) -> Act {
        if let Heard::PutOff { .. } | Heard::Lost = heard {
            return self.put_off(now, heard, how);
        }
        if let (Heard::TimeUp, Some(act)) = (heard, self.again.take()) {
            return act;
        }
        self.put_offs = 0;
        match (self.stage, heard) {
            (Stage::Outside, Heard::Arrived | Heard::TimeUp) => self.enter(how),
            (Stage::Outside, Heard::Queued) => {
                let until = now + self.patience(how);
                self.wait(until, self.standby)
            }
            (Stage::Outside | Stage::Queue { .. } | Stage::Leaving(_), Heard::Admitted) => {
                self.look()
            }
            (Stage::Outside, Heard::Halted) => {
                let until = now + self.patience(how);
                self.halted(until, how)
            }
            (Stage::Queue { until, .. }, Heard::Halted) => self.halted(until, how),
            (Stage::Outside | Stage::Queue { .. }, Heard::NotAdmitted) => {
                self.queue_again(now, how)
            }
            (Stage::Queue { .. }, Heard::TimeUp) if self.standby => {
                self.wait(now + how.patience_mean, true)
            }
            (Stage::Queue { .. }, Heard::TimeUp) => self.leave(End::GaveUp),
            (Stage::Leaving(end), _) => self.go(end, now, how),
            (Stage::Map, Heard::Free { seats, admissions }) => {
                self.choose(now, (seats, admissions), how)
            }
            (Stage::Choosing(wish), Heard::TimeUp) => {
                self.stage = Stage::Asking(wish);
                Act::Book(wish)
            }
            (Stage::Asking(_), heard) => self.answered(now, heard, how),
            (Stage::Purse, Heard::TimeUp) => self.pay(how),
            (Stage::Till { .. }, Heard::Paid) => self.await_tickets(now),
            (Stage::Till { .. }, Heard::Declined) => self.another_card(now, how),
            (Stage::Tickets, Heard::Ticketed) => Act::Go(End::Ticketed),
            (Stage::Tickets, Heard::TimeUp) => Act::Go(End::Unticketed),
            (_, Heard::Lapsed) => self.go(End::Lapsed, now, how),
            (_, Heard::Closed | Heard::SoldOut) => self.go(End::SoldOut, now, how),
            _ => Act::Go(End::Refused),
        }
    }

    fn enter(&mut self, how: &Behaviour) -> Act {
        self.visits += 1;
        self.tries = how.tries;
        if how.queue { Act::Join } else { self.look() }
    }

    fn wait(&mut self, until: Duration, stays: bool) -> Act {
        self.stage = Stage::Queue { until, stays };
        Act::AwaitTurn { until, stays }
    }

    /// From half to one and a half of the mean.
    fn patience(&mut self, how: &Behaviour) -> Duration {
        how.patience_mean.mul_f64(0.5 + self.dice.unit())
    }

    /// The line stands still: some stay in it all the same.
    fn halted(&mut self, until: Duration, how: &Behaviour) -> Act {
        if self.standby || self.dice.chance(how.come_back) {
            return self.wait(until, true);
        }
        self.leave(End::SoldOut)
    }

    fn leave(&mut self, end: End) -> Act {
        self.stage = Stage::Leaving(end);
        Act::Leave
    }

    fn look(&mut self) -> Act {
        self.stage = Stage::Map;
        Act::Look
    }

    /// Chooses among what is free. There are as many ways as the hall has kinds of places.
    fn choose(&mut self, now: Duration, (seats, admissions): (u32, u32), how: &Behaviour) -> Act {
        let [pick, best, admit] = how.ways;
        let weights = [
            if seats > 0 { pick } else { 0 },
            if seats > 0 { best } else { 0 },
            if admissions > 0 { admit } else { 0 },
        ];
        let all = weights.iter().sum::<u32>();
        if all == 0 {
            return self.go(End::SoldOut, now, how);
        }
        let mut left = self.dice.below(all.into()) as u32;
        let mut at = 0;
        for weight in weights {
            if left < weight {
                break;
            }
            left -= weight;
            at += 1;
        }
        let (way, free) = match at {
            0 => (Way::Seats(self.dice.number()), seats),
            1 => (Way::Best, seats),
            _ => (Way::Admissions, admissions),
        };
        let wanted = 1 + self.dice.below(how.most_places.into()) as u32;
        // Who comes for what is left takes what there is, one by one.
        let places = if self.standby { 1 } else { wanted.min(free) };
        self.wishes += 1;
        let wish = Wish { way, places, number: self.wishes };
        self.stage = Stage::Choosing(wish);
        let mean = if self.standby { Duration::ZERO } else { how.look_mean };
        Act::Pause { until: now + self.dice.exponential(mean) }
    }

    fn answered(&mut self, now: Duration, heard: Heard, how: &Behaviour) -> Act {
        match heard {
            Heard::Held { .. } if !self.standby && self.dice.chance(how.abandon) => {
                Act::Go(End::Abandoned)
            }
            Heard::Held { free: true } => self.await_tickets(now),
            Heard::Held { free: false } => {
                self.cards = 0;
                self.find_card(now, how)
            }
            Heard::SeatTaken | Heard::SoldOut if self.tries > 1 => {
                self.tries -= 1;
                self.look()
            }
            Heard::SeatTaken => self.go(End::Outrun, now, how),
            Heard::SoldOut => self.go(End::SoldOut, now, how),
            Heard::NotAdmitted if how.queue => self.queue_again(now, how),
            Heard::Lapsed => self.go(End::Lapsed, now, how),
            _ => Act::Go(End::Refused),
        }
    }

    /// The turn is over, unused: at the end of the line again.
    fn queue_again(&mut self, now: Duration, how: &Behaviour) -> Act {
        if self.tries <= 1 {
            return self.go(End::Outrun, now, how);
        }
        self.tries -= 1;
        self.stage = Stage::Outside;
        Act::Join
    }

    fn find_card(&mut self, now: Duration, how: &Behaviour) -> Act {
        self.stage = Stage::Purse;
        let takes = self.dice.lognormal(how.pay_median, how.pay_sigma);
        Act::Pause { until: if self.standby { now } else { now + takes } }
    }

    fn pay(&mut self, how: &Behaviour) -> Act {
        let good = self.standby || !self.dice.chance(how.decline);
        self.stage = Stage::Till { good };
        Act::Pay { good }
    }

    fn another_card(&mut self, now: Duration, how: &Behaviour) -> Act {
        self.cards += 1;
        if self.cards >= CARDS {
            return Act::Go(End::Declined);
        }
        self.find_card(now, how)
    }

    fn await_tickets(&mut self, now: Duration) -> Act {
        self.stage = Stage::Tickets;
        Act::AwaitTickets { until: now + CONFIRMATION_PATIENCE }
    }

    /// Comes again later, or is gone.
    fn go(&mut self, end: End, now: Duration, how: &Behaviour) -> Act {
        let comes_back = if self.standby {
            self.visits < STANDBY_VISITS
        } else {
            self.visits < how.visits && self.dice.chance(how.come_back)
        };
        if !comes_back {
            return Act::Go(end);
        }
        self.stage = Stage::Outside;
        let pause =
            if self.standby { STANDBY_PAUSE } else { self.dice.exponential(how.come_back_mean) };
        Act::Pause { until: now + pause }
    }

    /// The same again, after a while that differs from buyer to buyer.
    fn put_off(&mut self, now: Duration, heard: Heard, how: &Behaviour) -> Act {
        self.put_offs += 1;
        // Nobody gives up what is paid for, or about to be.
        let begun = matches!(self.stage, Stage::Purse | Stage::Till { .. } | Stage::Tickets);
        let most = if begun { how.put_offs.max(BEGUN_PUT_OFFS) } else { how.put_offs };
        if self.put_offs > most {
            return Act::Go(End::TurnedAway);
        }
        self.again = Some(match self.stage {
            Stage::Outside => Act::Join,
            Stage::Queue { until, stays } => Act::AwaitTurn { until, stays },
            Stage::Leaving(_) => Act::Leave,
            Stage::Map => Act::Look,
            Stage::Choosing(wish) | Stage::Asking(wish) => Act::Book(wish),
            Stage::Purse | Stage::Till { good: true } => Act::Pay { good: true },
            Stage::Till { good: false } => Act::Pay { good: false },
            Stage::Tickets => Act::AwaitTickets { until: now + CONFIRMATION_PATIENCE },
        });
        let after = match heard {
            Heard::PutOff { after } => after,
            _ => LOST_PAUSE,
        };
        Act::Pause { until: now + after.mul_f64(1.0 + self.dice.unit() / 2.0) }
    }
}

#[cfg(test)]
mod tests;
