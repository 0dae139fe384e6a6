//! The crowd: each buyer at its intended time, until the last one is gone, and then those who wait
//! for what others left.

use std::{
    fmt::Write as _,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until},
};

use super::availability;
use crate::{
    Failure,
    dice::Dice,
    engine::{World, depart, live},
    model::{Buyer, End},
};

const TELL_PERIOD: Duration = Duration::from_secs(1);
/// How much longer than the window and all visits the last buyer may take.
const TAIL: Duration = Duration::from_secs(600);
/// How many wait for what others left, at a time.
const STANDBYS: u32 = 4;
/// How much longer than a hold it may take until what was left is sold.
const STANDBY_TIME: Duration = Duration::from_secs(60);
/// How long the platform may take until its counts are those of what it has told.
const COUNT_TIME: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(300);

/// How many places are held, sold and free.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Places {
    held: u64,
    sold: u64,
}

/// Lets all buyers come and go. Answers how many places went to standbys.
pub(super) async fn play(
    world: &Arc<World>,
    mut look: impl FnMut(),
    say: &(dyn Fn(&str) + Sync),
) -> Result<u64, Failure> {
    let scenario = &world.scenario;
    let mut dice = Dice::new(scenario.seed, 0);
    let arrivals = scenario.curve.arrivals(scenario.buyers, scenario.window, &mut dice);
    let mut coming = (1..).zip(arrivals).peekable();
    let mut crowd = JoinSet::new();
    world.tasks.spawn("sold", until_all_sold(world.clone()));
    let mut tell = interval(TELL_PERIOD);
    tell.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let give_up = Instant::now() + scenario.window + scenario.hold_ttl * 4 + TAIL;
    while coming.peek().is_some() || !crowd.is_empty() {
        let next = coming.peek().map_or(give_up, |(_, arrives)| world.at(*arrives));
        tokio::select! {
            biased;
            _ = tell.tick() => {
                look();
                say(&progress(world, crowd.len()));
            }
            () = sleep_until(next) => {
                let now = world.now();
                if coming.peek().is_none() && now > Duration::ZERO && Instant::now() >= give_up {
                    let left = crowd.len();
                    world.facts.violation(format!("{left} buyers are still under way"));
                    crowd.shutdown().await;
                }
                while let Some((number, arrives)) = coming.next_if(|(_, time)| *time <= now) {
                    world.tally.second(arrives, |second| second.arrived += 1);
                    let buyer = Buyer::new(scenario.seed, number);
                    let account = account(world, number);
                    crowd.spawn(live(world.clone(), buyer, (number, account), arrives));
                }
            }
            Some(ended) = crowd.join_next() => note(world, ended)?,
        }
    }
    look();
    say(&progress(world, 0));
    standbys(world, say).await
}

/// Tells those who stay in a line that stands still when there is nothing left to wait for.
async fn until_all_sold(world: Arc<World>) {
    let (places, stopping) = (u64::from(world.scenario.places), world.tasks.stopping());
    while !stopping.is_cancelled() {
        sleep(TELL_PERIOD).await;
        if world.tally.counts().sold_out_at.is_none() {
            continue;
        }
        // Who can't be answered now is asked again.
        if places_of(&world).await.is_ok_and(|now| now.sold >= places) {
            world.all_sold.store(true, Ordering::Relaxed);
            return;
        }
    }
}

/// Buyers share accounts in turn.
fn account(world: &World, number: u64) -> u32 {
    let count = world.accounts.len().max(1) as u64;
    u32::try_from((number - 1) % count).unwrap_or_default()
}

fn note(world: &World, ended: Result<End, JoinError>) -> Result<(), Failure> {
    let end = ended.map_err(|error| Failure::new(format!("a buyer: {error}")))?;
    world.tally.count(|counts| *counts.ends.entry(end).or_default() += 1);
    Ok(())
}

/// Where more wanted places than there were, what lapsed holds have given back is sold, too.
async fn standbys(world: &Arc<World>, say: &(dyn Fn(&str) + Sync)) -> Result<u64, Failure> {
    let counts = world.tally.counts();
    let places = u64::from(world.scenario.places);
    let scarce = counts.sold_out_at.is_some() || counts.ends.contains_key(&End::SoldOut);
    if !scarce || places_of(world).await?.sold >= places {
        return Ok(0);
    }
    say("standbys come for what lapsed holds give back");
    let give_up = Instant::now() + world.scenario.hold_ttl + STANDBY_TIME;
    let mut line = JoinSet::new();
    let mut number = u64::from(world.scenario.buyers);
    let (mut sold, mut came) = (0, Vec::new());
    loop {
        while line.len() < STANDBYS as usize {
            number += 1;
            let buyer = Buyer::standby(world.scenario.seed, number);
            let account = account(world, number);
            line.spawn(live(world.clone(), buyer, (number, account), world.now()));
            came.push(account);
        }
        tokio::select! {
            Some(ended) = line.join_next() => {
                let end = ended.map_err(|error| Failure::new(format!("a standby: {error}")))?;
                sold += u64::from(end == End::Ticketed);
            }
            () = sleep(POLL) => {}
        }
        if places_of(world).await?.sold >= places || Instant::now() > give_up {
            // None of them holds anything any more, or the time for it is over.
            line.shutdown().await;
            for account in came.into_iter().filter(|_| world.scenario.behaviour.queue) {
                depart(world, account).await?;
            }
            return Ok(sold);
        }
    }
}

/// How many places are sold, as the platform says once its counts are those of what it has told.
pub(super) async fn sold(world: &World) -> Result<u64, Failure> {
    let give_up = Instant::now() + COUNT_TIME;
    loop {
        let places = places_of(world).await?;
        if places.sold >= world.facts.sold() || Instant::now() > give_up {
            return Ok(places.sold);
        }
        sleep(POLL).await;
    }
}

/// Where the platform's count of sold places can't be, given what buyers were told.
pub(super) fn disagreements(world: &World, sold: u64) -> Vec<String> {
    let (told, places) = (world.facts.sold(), u64::from(world.scenario.places));
    let mut found = Vec::new();
    if sold > places {
        found.push(format!("{sold} places are sold of {places}"));
    }
    if sold < told {
        found.push(format!("buyers have {told} places, the platform has sold {sold}"));
    }
    let unsure = world
        .tally
        .counts()
        .ends
        .keys()
        .any(|end| [End::Unticketed, End::TurnedAway, End::Lapsed, End::Refused].contains(end));
    // Only this sale's buyers know of its event; who left unsure may have bought.
    if sold > told && !unsure {
        found.push(format!("the platform has sold {sold} places, buyers have {told}"));
    }
    found
}

async fn places_of(world: &World) -> Result<Places, Failure> {
    let availability = availability(world).await?;
    let sections = availability.get("sections").and_then(Value::as_array).into_iter().flatten();
    let count = |section: &Value, key| section.get(key).and_then(Value::as_u64).unwrap_or_default();
    Ok(sections.fold(Places::default(), |sum, section| Places {
        held: sum.held + count(section, "held"),
        sold: sum.sold + count(section, "sold"),
    }))
}

fn progress(world: &World, here: usize) -> String {
    let counts = world.tally.counts();
    let total = counts.total();
    let mut line = format!(
        "{:>5.0} s  {:>8} arrived  {here:>7} here  {:>7} held  {:>7} paid  {:>7} ticketed  {:>8} \
         refused",
        world.now().as_secs_f64(),
        total.arrived,
        total.held,
        total.paid,
        total.ticketed,
        total.refused,
    );
    let lost: u64 = counts.lost.values().sum();
    if lost > 0 {
        let _infallible = write!(line, "  {lost} without an answer");
    }
    line
}
