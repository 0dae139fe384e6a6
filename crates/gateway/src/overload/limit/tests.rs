//! A limit before a machine that is simulated: so many answers a second, none before its time.

use std::collections::VecDeque;

use super::*;

const BOUNDS: Bounds = Bounds {
    target: Duration::from_millis(200),
    least: 16,
    most: 512,
    longest_pause: Duration::from_secs(30),
};
/// When nothing that is known of being behind is good any more.
const NEVER: Duration = Duration::MAX;
const TICK: Duration = Duration::from_millis(1);

/// What stands behind the limit.
struct Machine {
    /// Answers a second.
    capacity: u32,
    /// No answer comes sooner.
    fastest: Duration,
    outcome: Outcome,
}

/// What was seen in a while.
#[derive(Debug, Default)]
struct Seen {
    answered: u32,
    refused: u32,
    longest: Duration,
    pauses: Vec<Duration>,
}

struct World {
    limit: Limit,
    now: Duration,
    /// When those under way entered.
    under_way: VecDeque<Duration>,
    /// Parts of a thousandth of an arrival and an answer that are still due.
    due: (u32, u32),
}

impl World {
    fn new(bounds: Bounds) -> Self {
        let under_way = VecDeque::new();
        Self { limit: Limit::new(bounds), now: Duration::ZERO, under_way, due: (0, 0) }
    }

    /// Offers so many requests a second for so long.
    fn play(&mut self, machine: &Machine, offered: u32, time: Duration) -> Seen {
        let mut seen = Seen::default();
        let end = self.now + time;
        while self.now < end {
            self.now += TICK;
            self.due.0 += offered;
            self.due.1 = (self.due.1 + machine.capacity).min(1_000 + machine.capacity);
            while self.due.0 >= 1_000 {
                self.due.0 -= 1_000;
                match self.limit.enter(self.now) {
                    Ok(()) => self.under_way.push_back(self.now),
                    Err(pause) => {
                        seen.refused += 1;
                        seen.pauses.push(pause);
                    }
                }
            }
            let ready = |entered: &mut Duration| self.now - *entered >= machine.fastest;
            while self.due.1 >= 1_000
                && let Some(entered) = self.under_way.pop_front_if(ready)
            {
                self.due.1 -= 1_000;
                let took = self.now - entered;
                self.limit.leave(self.now, machine.outcome, took);
                seen.answered += 1;
                seen.longest = seen.longest.max(took);
            }
        }
        seen
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn machine(capacity: u32, fastest_ms: u64) -> Machine {
    Machine { capacity, fastest: Duration::from_millis(fastest_ms), outcome: Outcome::Done }
}

#[test]
fn what_can_be_done_is_let_in() {
    let mut world = World::new(BOUNDS);
    let seen = world.play(&machine(1_000, 10), 900, seconds(20));
    assert_eq!(seen.refused, 0);
    assert!(seen.longest < BOUNDS.target, "{:?}", seen.longest);
}

#[test]
fn a_crowd_that_comes_at_once_in_quiet_times_is_let_in() {
    let mut world = World::new(BOUNDS);
    let machine = machine(1_000, 10);
    world.play(&machine, 5_000, seconds(5));
    assert!(world.limit.room(NEVER) < 300, "it was learned what can be done");
    world.play(&machine, 100, seconds(5));
    let now = world.now;
    for _ in 0..BOUNDS.most - 10 {
        world.limit.enter(now).unwrap();
    }
}

#[test]
fn five_times_as_much_keeps_the_machine_busy_and_answers_quick() {
    for capacity in [300, 1_000, 4_000] {
        let mut world = World::new(BOUNDS);
        let machine = machine(capacity, 10);
        world.play(&machine, capacity * 5, seconds(8));
        let seen = world.play(&machine, capacity * 5, seconds(10));
        assert!(seen.answered >= capacity * 99 / 10, "{capacity}: {}", seen.answered);
        assert!(seen.longest < BOUNDS.target * 2, "{capacity}: {:?}", seen.longest);

        world.play(&machine, capacity / 2, seconds(1));
        let after = world.play(&machine, capacity / 2, seconds(5));
        assert_eq!(after.refused, 0, "{capacity}: all is well again at once");
        assert!(after.longest < BOUNDS.target / 4, "{capacity}: {:?}", after.longest);
    }
}

/// The twin: without a limit to speak of, everybody waits for everybody.
#[test]
fn without_a_limit_answers_come_when_nobody_waits_for_them() {
    let endless = Bounds { least: 1_000_000, most: 1_000_000, ..BOUNDS };
    let mut world = World::new(endless);
    let seen = world.play(&machine(1_000, 10), 5_000, seconds(13));
    assert_eq!(seen.refused, 0);
    assert!(seen.longest > seconds(9), "{:?}", seen.longest);
    let after = world.play(&machine(1_000, 10), 500, seconds(6));
    assert!(after.longest > seconds(10), "nor afterwards: {:?}", after.longest);
}

#[test]
fn a_machine_that_grows_slower_is_given_less_and_a_quicker_one_more() {
    let mut world = World::new(BOUNDS);
    world.play(&machine(1_000, 10), 5_000, seconds(5));
    let quick = world.limit.room(NEVER);
    world.play(&machine(300, 10), 5_000, seconds(5));
    let slow = world.limit.room(NEVER);
    assert!((150..=300).contains(&quick) && (40..=90).contains(&slow), "{quick}, {slow}");
    world.play(&machine(1_000, 10), 5_000, seconds(5));
    assert!(world.limit.room(NEVER) >= 150, "{}", world.limit.room(NEVER));
}

#[test]
fn what_takes_long_by_nature_is_no_load() {
    let mut world = World::new(BOUNDS);
    let far_away = machine(10_000, 600);
    world.play(&far_away, 500, seconds(60));
    let seen = world.play(&far_away, 500, seconds(10));
    assert_eq!(seen.refused, 0, "300 are under way: {}", world.limit.room(NEVER));

    let mut alone = World::new(BOUNDS);
    let at_first = alone.limit.room(NEVER);
    alone.play(&far_away, 10, seconds(10));
    assert_eq!(alone.limit.room(NEVER), at_first, "few are no load, however long they take");
}

#[test]
fn failures_are_a_load_and_refusals_say_nothing() {
    let failing = Machine { outcome: Outcome::Failed, ..machine(10_000, 60) };
    let mut world = World::new(BOUNDS);
    world.play(&failing, 10_000, seconds(8));
    assert_eq!(world.limit.room(NEVER), BOUNDS.least);
    let mut world = World::new(BOUNDS);
    let at_first = world.limit.room(NEVER);
    let refusing = Machine { outcome: Outcome::Nothing, ..machine(1_000, 10) };
    world.play(&refusing, 5_000, seconds(5));
    assert_eq!(world.limit.room(NEVER), at_first);
}

#[test]
fn less_is_let_in_while_what_was_begun_is_behind() {
    let mut limit = Limit::new(BOUNDS);
    let (now, all) = (seconds(10), limit.room(NEVER));
    let mut room = |behind_ms: u64| {
        limit.note_behind(now, Duration::from_millis(behind_ms));
        (limit.room(now), limit.room(now + FRESH))
    };
    assert_eq!(room(300), (all, all));
    assert_eq!(room(1_200), (all / 2, all), "in proportion, and only while it is known");
    assert_eq!(room(60_000), (all / 10, all), "never nothing, or nobody would learn of a change");
}

#[test]
fn one_lost_answer_is_no_load() {
    let mut limit = Limit::new(BOUNDS);
    let at_first = limit.room(NEVER);
    for _ in 0..at_first {
        limit.enter(Duration::ZERO).unwrap();
    }
    for _ in 1..at_first {
        limit.leave(seconds(1) / 2, Outcome::Done, Duration::from_millis(20));
    }
    limit.leave(seconds(1), Outcome::Failed, seconds(30));
    limit.enter(seconds(2)).unwrap();
    assert!(limit.room(NEVER) >= at_first, "{}", limit.room(NEVER));
}

#[test]
fn the_more_are_refused_the_later_they_come_again_and_never_at_once() {
    let mut world = World::new(BOUNDS);
    let machine = machine(1_000, 10);
    world.play(&machine, 1_100, seconds(5));
    let few = world.play(&machine, 1_100, seconds(5));
    assert!(few.refused > 0 && few.pauses.iter().all(|pause| *pause < seconds(2)), "{few:?}");
    world.play(&machine, 5_000, seconds(5));
    let many = world.play(&machine, 5_000, seconds(5)).pauses;
    let mean = many.iter().sum::<Duration>() / many.len() as u32;
    assert!(mean > seconds(3) && mean < seconds(5), "four are refused for one: {mean:?}");
    let in_second = |second: u64| many.iter().filter(|pause| pause.as_secs() == second).count();
    assert!(in_second(3) * 4 > many.len() / 5 && in_second(4) * 4 > many.len() / 5, "spread");
    world.play(&machine, 100_000, seconds(5));
    let far_too_many = world.play(&machine, 100_000, seconds(1)).pauses;
    assert!(far_too_many.iter().all(|pause| *pause <= BOUNDS.longest_pause));
}
