//! Whole sales on the virtual clock.

use super::*;
use crate::{Curve, Preset};

fn sale(change: impl FnOnce(&mut Scenario)) -> Forecast {
    let mut scenario = Preset::Sale.scenario();
    change(&mut scenario);
    forecast(&scenario.checked().unwrap(), &Costs::default())
}

fn told(forecast: &Forecast) -> String {
    serde_json::to_string(forecast).unwrap()
}

#[test]
fn the_same_seed_is_the_same_sale() {
    let one = sale(|_| {});
    assert_eq!(told(&one), told(&sale(|_| {})));
    assert_ne!(told(&one), told(&sale(|its| its.seed = 2)));
}

#[test]
fn nobody_is_lost_and_no_place_is_sold_that_there_is_not() {
    for seed in 1..=6 {
        for (queue, ways) in [(true, [4, 4, 2]), (false, [1, 0, 0]), (false, [0, 1, 1])] {
            let forecast = sale(|its| {
                (its.seed, its.behaviour.queue, its.behaviour.ways) = (seed, queue, ways);
                its.behaviour.abandon = 0.2;
            });
            assert_eq!(forecast.ends.values().sum::<u64>(), 1_200, "each life has an end");
            assert!(forecast.sold <= 400 && forecast.sold > 300, "{forecast:?}");
            let tickets = forecast.ends[&End::Ticketed];
            assert_eq!(forecast.ticketed, tickets, "who has tickets is gone with them");
            assert_eq!(forecast.held, tickets + forecast.lapsed, "each hold is sold or lapses");
            assert!(forecast.sold_out_seconds.unwrap() < forecast.took_seconds);
        }
    }
}

#[test]
fn who_is_admitted_slowly_waits_long() {
    let wait = |rate| {
        let forecast = sale(|its| {
            its.admissions_per_minute = rate;
            its.behaviour.patience_mean = Duration::from_secs(3_600);
        });
        forecast.latency(Step::Turn).unwrap().p50_ms
    };
    let (slow, fast) = (wait(600), wait(6_000));
    assert!(slow > 3.0 * fast, "{slow} and {fast} ms");
}

#[test]
fn a_hold_that_is_not_paid_lapses_and_is_sold_again() {
    let forecast = sale(|its| {
        its.behaviour.queue = false;
        its.behaviour.abandon = 0.5;
        its.behaviour.visits = 50;
        its.behaviour.come_back = 0.95;
    });
    assert!(forecast.lapsed > 100, "{forecast:?}");
    assert!(forecast.sold >= 395, "what lapsed was sold again: {forecast:?}");
    let none = sale(|its| {
        (its.behaviour.abandon, its.behaviour.decline) = (0.0, 0.0);
        its.behaviour.pay_sigma = 0.1;
    });
    assert_eq!(none.lapsed, 0, "{none:?}");
}

#[test]
fn a_platform_without_room_makes_a_line() {
    let busy = |factor: f64| {
        let mut costs = Costs::default();
        costs.steps.iter_mut().for_each(|cost| cost.cpu_us *= factor);
        let mut scenario = Preset::Sale.scenario();
        (scenario.behaviour.queue, scenario.curve) = (false, Curve::Spike);
        scenario.window = Duration::from_secs(2);
        let forecast = forecast(&scenario.checked().unwrap(), &costs);
        (forecast.peak_utilisation, forecast.latency(Step::Hold).unwrap().p99_ms)
    };
    let ((idle, quick), (full, slow)) = (busy(0.1), busy(20.0));
    assert!(idle < 0.3 && full > 0.95, "{idle} and {full}");
    assert!(slow > 20.0 * quick, "{slow} and {quick} ms");
}

#[test]
fn advice_leaves_room_and_does_not_dawdle() {
    let scenario = Preset::Sale.scenario().checked().unwrap();
    let advice = advise(&scenario, &Costs::default());
    let chosen = advice.admissions_per_minute.unwrap();
    let trial = |rate| {
        let found = advice.trials.iter().find(|trial| trial.admissions_per_minute == rate);
        found.unwrap().forecast.sold_out_seconds.unwrap_or(f64::INFINITY)
    };
    assert!(advice.trials.len() >= 8 && trial(chosen) < trial(750));
    let mut slow = Costs::default();
    slow.steps.iter_mut().for_each(|cost| cost.cpu_us *= 300.0);
    assert_eq!(advise(&scenario, &slow).admissions_per_minute, None);
}
