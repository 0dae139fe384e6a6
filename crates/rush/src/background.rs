//! Those who don't buy: they browse, poll and edit at rates of their own, whatever they are
//! answered.

use std::{collections::HashSet, sync::Arc, time::Duration};

use http::HeaderValue;
use platform::Tasks;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use crate::{
    dice::Dice,
    engine::{Line, World},
    http::{Call, Lost},
    spawn,
    tally::Step,
};

/// How often the map that all buyers look at is read.
const MAP_PERIOD: Duration = Duration::from_millis(500);

/// Those who sell.
pub(crate) struct Sellers {
    pub(crate) organizer: HeaderValue,
    pub(crate) operator: HeaderValue,
}

#[derive(Deserialize)]
struct Map<'a> {
    #[serde(borrow)]
    sections: Vec<Section<'a>>,
}

#[derive(Deserialize)]
struct Section<'a> {
    #[serde(borrow, default)]
    held_seats: Vec<&'a str>,
    #[serde(borrow, default)]
    sold_seats: Vec<&'a str>,
}

/// Lets them begin; they end with `tasks`.
pub(crate) fn start(world: &Arc<World>, sellers: &Sellers, tasks: &Tasks) -> Result<(), Lost> {
    let event = format!("/api/v1/events/{}", world.event_id);
    let browses = [
        Call::get("/api/v1/events?limit=20")?,
        Call::get(&event)?,
        Call::get(&format!("{event}/availability?counts_only=true"))?,
        Call::get(&format!("{event}/seating-plan"))?,
    ];
    let polls = [Call::get(&format!("{event}/queue"))?];
    let edit = json!({"description": "Everybody wants to go, still."}).to_string();
    let edits = [
        Call::patch(&event, edit)?.by(&sellers.organizer),
        Call::get("/api/v1/events?mine=true&limit=20")?.by(&sellers.organizer),
        Call::get("/api/v1/admin/mails?limit=20")?.by(&sellers.operator),
    ];
    let background = world.scenario.background;
    let streams = [
        (Step::Browse, background.browses_per_second, browses.to_vec()),
        (Step::Poll, background.polls_per_second, polls.to_vec()),
        (Step::Edit, background.edits_per_second, edits.to_vec()),
    ];
    for (step, per_second, calls) in streams {
        if per_second > 0.0 {
            let world = world.clone();
            let others = tasks.clone();
            spawn(tasks, "others", async move {
                ask_on(&world, &others, (step, per_second), &calls).await;
            });
        }
    }
    if world.scenario.behaviour.ways.first().is_some_and(|weight| *weight > 0) {
        let call = Call::get(&format!("{event}/availability"))?;
        let world = world.clone();
        spawn(tasks, "map", async move { read_map(&world, &call).await });
    }
    Ok(())
}

/// Requests whose times no answer delays.
async fn ask_on(world: &Arc<World>, tasks: &Tasks, (step, rate): (Step, f64), calls: &[Call]) {
    let mut dice = Dice::new(world.scenario.seed, step as u64 | 1 << 63);
    let mut intended = Duration::ZERO;
    loop {
        intended += dice.exponential(Duration::from_secs_f64(1.0 / rate));
        sleep_until(world.at(intended)).await;
        let Some(call) = calls.get(dice.below(calls.len() as u64) as usize).cloned() else {
            return;
        };
        let world = world.clone();
        spawn(tasks, "other", async move {
            match world.ask(&world.gateway, &call, Line::Coming).await {
                Ok(answer) if answer.status == 200 => {
                    world.tally.took(step, world.now().saturating_sub(intended));
                }
                Ok(answer) => world.tally.refused(step.name(), &answer.status.to_string()),
                Err(error) => world.tally.lost(step.name(), &error.0),
            }
        });
    }
}

/// One reads the map for all, as a cache before the platform would.
async fn read_map(world: &World, call: &Call) {
    let mut period = interval(MAP_PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        period.tick().await;
        let Ok(answer) = world.gateway.ask(call).await else { continue };
        let Ok(map) = serde_json::from_slice::<Map<'_>>(&answer.body) else { continue };
        let lists = map.sections.iter().flat_map(|its| [&its.held_seats, &its.sold_seats]);
        let taken: HashSet<&str> = lists.flatten().copied().collect();
        world.board.replace(taken.into_iter());
    }
}
