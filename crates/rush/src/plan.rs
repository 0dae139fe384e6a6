//! The same buyers on a virtual clock: a small model of the platform answers them, so that a sale
//! of a million is over in seconds. It knows places, holds that lapse, the queue's rate, and that
//! two cores do one thing at a time each; it knows nothing of what goes wrong.

mod advice;
mod compare;
mod costs;
mod foreseen;
mod house;

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

pub use self::{
    advice::{Advice, Trial, advise},
    compare::compare,
    costs::Costs,
    foreseen::Forecast,
};
use self::{costs::Station, house::House};
use crate::{
    Scenario,
    dice::Dice,
    model::{Act, Buyer, End, Heard},
    tally::{Counts, Step, Tally},
};

/// What happens when its time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// A buyer hears something, unless it has done something else meanwhile.
    Hears { buyer: u32, life: u32, heard: Heard },
    /// What a buyer did is answered.
    Answered { buyer: u32, act: Act, since: Duration },
    /// A hold's time is over.
    Expires { hold: u32 },
    /// The queue looks at its line.
    Serves,
}

/// How often the queue looks at its line.
const SERVE_PERIOD: Duration = Duration::from_millis(200);

struct Later {
    at: Duration,
    order: u64,
    due: Due,
}

impl PartialEq for Later {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Later {}

impl PartialOrd for Later {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Later {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// One of those who come, and what only the platform knows of it.
struct Customer {
    buyer: Buyer,
    /// Counts what it did: what was on its way to it before is too late.
    life: u32,
    waits: bool,
    /// Waits on though all is sold.
    stays: bool,
    queued_at: Duration,
    admitted_until: Option<Duration>,
    admitted: bool,
    hold: Option<u32>,
}

struct Sale<'a> {
    scenario: &'a Scenario,
    costs: &'a Costs,
    now: Duration,
    order: u64,
    later: BinaryHeap<Reverse<Later>>,
    customers: Vec<Customer>,
    house: House,
    station: Station,
    dice: Dice,
    tally: Tally,
    in_vain: u64,
    here: u64,
}

/// Lets a whole sale happen, as fast as it can be computed.
#[must_use]
pub fn forecast(scenario: &Scenario, costs: &Costs) -> Forecast {
    let mut dice = Dice::new(scenario.seed, 0);
    let arrivals = scenario.curve.arrivals(scenario.buyers, scenario.window, &mut dice);
    let mut sale = Sale {
        scenario,
        costs,
        now: Duration::ZERO,
        order: 0,
        later: BinaryHeap::new(),
        customers: Vec::with_capacity(arrivals.len()),
        house: House::new(scenario),
        station: Station::new(costs, &scenario.background),
        dice,
        tally: Tally::default(),
        in_vain: 0,
        here: 0,
    };
    if scenario.behaviour.queue {
        sale.after(SERVE_PERIOD, Due::Serves);
    }
    let mut coming = (1_u64..).zip(arrivals).peekable();
    loop {
        let next = sale.later.peek().map(|Reverse(later)| later.at);
        if let Some((number, at)) = coming.next_if(|(_, at)| next.is_none_or(|next| *at <= next)) {
            sale.arrives(number, at);
            continue;
        }
        let Some(Reverse(later)) = sale.later.pop() else { break };
        sale.now = later.at;
        sale.happens(later.due, coming.peek().is_some());
    }
    sale.sum_up()
}

impl Sale<'_> {
    fn after(&mut self, time: Duration, due: Due) {
        self.order += 1;
        let later = Later { at: self.now + time, order: self.order, due };
        self.later.push(Reverse(later));
    }

    fn arrives(&mut self, number: u64, at: Duration) {
        self.now = at;
        self.here += 1;
        self.tally.second(at, |second| second.arrived += 1);
        self.customers.push(Customer {
            buyer: Buyer::new(self.scenario.seed, number),
            life: 0,
            waits: false,
            stays: false,
            queued_at: at,
            admitted_until: None,
            admitted: false,
            hold: None,
        });
        let buyer = u32::try_from(self.customers.len() - 1).unwrap_or(u32::MAX);
        self.hears(buyer, Heard::Arrived);
    }

    fn happens(&mut self, due: Due, more_to_come: bool) {
        match due {
            Due::Hears { buyer, life, heard } => {
                let current =
                    self.customers.get(buyer as usize).is_some_and(|its| its.life == life);
                if current {
                    self.hears(buyer, heard);
                }
            }
            Due::Answered { buyer, act, since } => {
                let heard = self.answers(buyer, act, since);
                if let Some(heard) = heard {
                    self.hears(buyer, heard);
                }
            }
            Due::Expires { hold } => {
                if self.house.expires(hold) {
                    self.tally.count(|counts| counts.lapsed += 1);
                }
            }
            Due::Serves => {
                self.serves();
                if self.here > 0 || more_to_come {
                    self.after(SERVE_PERIOD, Due::Serves);
                }
            }
        }
    }

    /// Tells a buyer, and begins what it does next.
    fn hears(&mut self, number: u32, heard: Heard) {
        let now = self.now;
        let Some(customer) = self.customers.get_mut(number as usize) else { return };
        customer.life += 1;
        customer.waits = false;
        let life = customer.life;
        let act = customer.buyer.step(now, heard, &self.scenario.behaviour);
        let due = |heard| Due::Hears { buyer: number, life, heard };
        match act {
            Act::Pause { until } => {
                self.after(until.saturating_sub(now), due(Heard::TimeUp));
            }
            Act::Go(end) => self.goes(number, end),
            Act::AwaitTurn { until, stays } => {
                if let Some(customer) = self.customers.get_mut(number as usize) {
                    (customer.waits, customer.stays) = (true, stays);
                }
                self.after(until.saturating_sub(now), due(Heard::TimeUp));
                if self.house.is_sold_out() && !stays {
                    let poll = self.scenario.poll_period.mul_f64(self.dice.unit());
                    self.after(poll, due(Heard::Halted));
                }
            }
            Act::Leave => {
                self.house.line.leave(number);
                self.after(Duration::ZERO, due(Heard::Left));
            }
            act => {
                let step = match act {
                    Act::Book(wish) if !self.house.has(wish) => Step::Refusal,
                    act => step_of(act),
                };
                let mut done = self.station.serves(now, step, &mut self.dice, self.costs);
                if step == Step::Pay && self.scenario.behaviour.holds_first {
                    let booked = self.station.serves(now, Step::Book, &mut self.dice, self.costs);
                    done = done.max(booked);
                }
                let since = now;
                self.after(done.saturating_sub(now), Due::Answered { buyer: number, act, since });
            }
        }
    }

    fn goes(&mut self, number: u32, end: End) {
        self.here -= 1;
        let admitted = self.customers.get(number as usize).is_some_and(|its| its.admitted);
        self.in_vain += u64::from(admitted && [End::SoldOut, End::Outrun].contains(&end));
        self.tally.count(|counts| *counts.ends.entry(end).or_default() += 1);
    }

    /// The effect of what a buyer did, and what it hears of it.
    fn answers(&mut self, number: u32, act: Act, since: Duration) -> Option<Heard> {
        let now = self.now;
        let step = step_of(act);
        let ttl = self.scenario.hold_ttl;
        let (queue, customer) =
            (self.scenario.behaviour.queue, self.customers.get_mut(number as usize)?);
        let took = now.saturating_sub(since);
        let heard = match act {
            Act::Join if customer.admitted_until.is_some_and(|until| until > now) => {
                Heard::Admitted
            }
            Act::Join => {
                customer.queued_at = since;
                self.house.line.join(number);
                Heard::Queued
            }
            Act::Look => {
                let [seats, admissions] = self.house.free();
                Heard::Free { seats, admissions }
            }
            Act::Book(_) if queue && customer.admitted_until.is_none_or(|until| until <= now) => {
                Heard::NotAdmitted
            }
            Act::Book(wish) => match self.house.holds(now, wish, &mut self.dice) {
                Ok(hold) => {
                    customer.hold = Some(hold);
                    self.after(ttl, Due::Expires { hold });
                    Heard::Held { free: self.scenario.price_minor == 0 }
                }
                Err(refused) => refused,
            },
            Act::Pay { good: false } => Heard::Declined,
            Act::Pay { good: true } => match customer.hold {
                Some(hold) if self.house.is_held(hold) => Heard::Paid,
                _ => Heard::Lapsed,
            },
            Act::AwaitTickets { .. } => match customer.hold {
                Some(hold) if self.house.sells(hold) => Heard::Ticketed,
                _ => Heard::Lapsed,
            },
            _ => return None,
        };
        self.counts(step, heard, took);
        Some(heard)
    }

    fn counts(&mut self, step: Step, heard: Heard, took: Duration) {
        let now = self.now;
        match heard {
            Heard::SeatTaken | Heard::SoldOut | Heard::NotAdmitted => {
                let reason = match heard {
                    Heard::SeatTaken => "SEAT_TAKEN",
                    Heard::SoldOut => "SOLD_OUT",
                    _ => "ADMISSION_REQUIRED",
                };
                self.tally.refused("hold", reason);
                self.tally.took(Step::Refusal, took);
                self.tally.second(now, |second| second.refused += 1);
                return;
            }
            Heard::Held { .. } => self.tally.second(now, |second| second.held += 1),
            Heard::Paid => self.tally.second(now, |second| second.paid += 1),
            Heard::Ticketed => self.tally.second(now, |second| second.ticketed += 1),
            Heard::Declined => self.tally.count(|counts| counts.declined += 1),
            _ => {}
        }
        if self.house.is_sold_out() {
            self.tally.count(|counts| {
                counts.sold_out_at.get_or_insert(now);
            });
        }
        self.tally.took(step, took);
    }

    /// Admits those whose turn it is; where all is sold, tells those who wait so.
    fn serves(&mut self) {
        if self.house.is_sold_out() {
            if self.house.line.halts() {
                self.tell_waiting(Heard::Halted);
            }
            return;
        }
        self.house.line.goes_on();
        let turns = self.house.line.turns(SERVE_PERIOD);
        for _ in 0..turns {
            let Some(number) = self.house.line.next() else { return };
            let until = self.now + self.scenario.admission_ttl;
            let Some(customer) = self.customers.get_mut(number as usize) else { return };
            customer.admitted_until = Some(until);
            customer.admitted = true;
            let waited = self.now.saturating_sub(customer.queued_at);
            self.tally.took(Step::Turn, waited);
            self.station.serves(self.now, Step::Turn, &mut self.dice, self.costs);
            // Who is not there at the moment finds the admission later.
            if customer.waits {
                self.hears(number, Heard::Admitted);
            }
        }
    }

    fn tell_waiting(&mut self, heard: Heard) {
        let waiting: Vec<(u32, u32)> = (0..)
            .zip(&self.customers)
            .filter(|(_, customer)| customer.waits && !customer.stays)
            .map(|(number, customer)| (number, customer.life))
            .collect();
        for (buyer, life) in waiting {
            let poll = self.scenario.poll_period.mul_f64(self.dice.unit());
            self.after(poll, Due::Hears { buyer, life, heard });
        }
    }

    fn sum_up(self) -> Forecast {
        let counts: Counts = self.tally.counts();
        let total = counts.total();
        let (peak, mean) = self.station.utilisation(counts.sold_out_at.unwrap_or(self.now));
        Forecast {
            sold_out_seconds: counts.sold_out_at.map(|at| at.as_secs_f64()),
            took_seconds: self.now.as_secs_f64(),
            sold: self.house.sold(),
            ticketed: total.ticketed,
            lapsed: counts.lapsed,
            held: total.held,
            longest_line: self.house.line.longest(),
            in_vain: self.in_vain,
            peak_utilisation: peak,
            utilisation: mean,
            latencies: counts.latencies(),
            ends: counts.ends,
            refusals: counts.refusals,
        }
    }
}

fn step_of(act: Act) -> Step {
    match act {
        Act::Join => Step::Join,
        Act::Look => Step::Look,
        Act::Book(_) => Step::Hold,
        Act::Pay { .. } => Step::Pay,
        _ => Step::Confirmation,
    }
}

#[cfg(test)]
mod tests;
