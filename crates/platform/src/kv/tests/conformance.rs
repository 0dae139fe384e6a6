//! What every implementation of the key-value parts must do. Each function takes a store of its
//! own, and fails where the store does not keep a promise of [`Kv`].

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use kernel::{Code, Failure};

use crate::kv::{Item, Kv, Queue, Rate, Received, Settled};

/// Hands all promises, by the name of their test, to the macro `on`, which makes the tests of one
/// implementation: what is added here is held by all of them.
macro_rules! promises {
    ($on:ident) => {
        $on! {
            the_cache_loads_once_and_forgets_in_time => cache,
            a_lock_has_one_holder_and_growing_fences => locks,
            limits_let_a_burst_through_and_then_a_rate => limits,
            channels_reach_who_listens_and_tell_who_is_slow => channels,
            the_queue_hands_places_out_in_order => queue_order,
            an_unacknowledged_place_comes_again_first => queue_leases,
            racing_members_get_each_their_own_place => queue_race,
            a_restart_loses_no_place_and_repeats_no_number => queue_restart,
            what_became_of_a_place_is_kept_and_holds_for_its_time => queue_outcomes,
            the_settings_of_a_line_outlive_its_places => queue_settings,
        }
    };
}
pub(crate) use promises;

/// A store under test.
pub(crate) trait Subject {
    /// Handles on this store's state, as after a restart.
    fn open(&self) -> impl Future<Output = Kv>;
    /// Lets time pass, as the store sees it.
    fn pass(&self, time: Duration) -> impl Future<Output = ()>;
}

/// Long enough for what must happen within it, where the store's clock can't be driven.
const SHORT: Duration = Duration::from_secs(1);
const LASTING: Duration = Duration::from_secs(4);
const LONG: Duration = Duration::from_secs(60);
const MANY: u64 = u64::MAX;
/// With whatever a store may set its own fields apart by.
const WISH: &str = "{\"a\": [1, 2]}\n:\u{20ac}";

pub(crate) async fn cache(subject: &impl Subject) {
    let kv = subject.open().await;
    let loads = AtomicU32::new(0);
    let load = || async {
        tokio::task::yield_now().await;
        Ok(Bytes::from(format!("v{}", loads.fetch_add(1, Ordering::SeqCst))))
    };
    let get = || kv.cached("k", SHORT, load);
    // Callers that meet share one load.
    let values = join_all((0..50).map(|_| get())).await;
    assert!(values.iter().all(|value| value.as_ref().unwrap() == "v0"));
    assert_eq!(kv.cached("other", SHORT, load).await.unwrap(), "v1");
    subject.pass(SHORT).await;
    assert_eq!(get().await.unwrap(), "v2");
    assert_eq!(get().await.unwrap(), "v2");
    kv.forget("k").await.unwrap();
    assert_eq!(get().await.unwrap(), "v3");
    // A failure reaches its caller and is not kept.
    let failing = || async { Err::<Bytes, _>(Failure::unavailable("down")) };
    let failed = kv.cached("f", LONG, failing).await.unwrap_err();
    assert_eq!((failed.code, &*failed.detail), (Code::Unavailable, "down"));
    assert_eq!(kv.cached("f", LONG, load).await.unwrap(), "v4");
    // What was loaded before it was forgotten is not kept.
    let forgotten = || async {
        kv.forget("g").await?;
        load().await
    };
    assert_eq!(kv.cached("g", LONG, forgotten).await.unwrap(), "v5");
    assert_eq!(kv.cached("g", LONG, load).await.unwrap(), "v6");
}

pub(crate) async fn locks(subject: &impl Subject) {
    let kv = subject.open().await;
    let racers = join_all((0..50).map(|_| kv.lock("a", SHORT))).await;
    let mut winners = racers.into_iter().filter_map(Result::unwrap);
    let first = winners.next().unwrap();
    assert_eq!(winners.next(), None, "one holder at a time");
    assert!(kv.lock("b", SHORT).await.unwrap().is_some(), "another name is another lock");
    assert!(kv.renew(&first, SHORT * 2).await.unwrap());
    subject.pass(SHORT).await;
    assert_eq!(kv.lock("a", SHORT).await.unwrap(), None, "it was renewed");
    subject.pass(SHORT).await;
    let second = kv.lock("a", LONG).await.unwrap().unwrap();
    assert!(second.fence > first.fence);
    // Who lost it can neither hold it nor give it away.
    assert!(!kv.renew(&first, LONG).await.unwrap());
    kv.unlock(&first).await.unwrap();
    assert_eq!(kv.lock("a", LONG).await.unwrap(), None);
    kv.unlock(&second).await.unwrap();
    let third = kv.lock("a", SHORT).await.unwrap().unwrap();
    assert!(third.fence > second.fence);
    subject.pass(SHORT).await;
    assert!(!kv.renew(&third, LONG).await.unwrap(), "an expired lock can't be held on to");
    drop(kv);
    let kv = subject.open().await;
    let fourth = kv.lock("a", SHORT).await.unwrap().unwrap();
    assert!(fourth.fence > third.fence, "also after a restart");
}

pub(crate) async fn limits(subject: &impl Subject) {
    let kv = subject.open().await;
    let rate = Rate { burst: 3, interval: SHORT };
    let ask = || async { kv.limit("k", rate).await.unwrap() };
    for remaining in [2, 1, 0] {
        let allowance = ask().await;
        assert_eq!((allowance.allowed, allowance.remaining), (true, remaining));
    }
    let refused = ask().await;
    assert!(!refused.allowed && refused.remaining == 0);
    assert!(!refused.retry_after.is_zero() && refused.retry_after <= SHORT, "{refused:?}");
    assert!(refused.reset_after > SHORT && refused.reset_after <= SHORT * 3, "{refused:?}");
    assert!(kv.limit("other", rate).await.unwrap().allowed);
    // Being refused costs nothing: there is room for one after one interval.
    subject.pass(refused.retry_after).await;
    assert!(ask().await.allowed);
    assert!(!ask().await.allowed);
    subject.pass(SHORT * 3).await;
    let asked = join_all((0..20).map(|_| ask())).await;
    assert_eq!(asked.iter().filter(|allowance| allowance.allowed).count(), 3);
    let none = Rate { burst: 0, interval: SHORT };
    assert!(!kv.limit("none", none).await.unwrap().allowed);
}

pub(crate) async fn channels(subject: &impl Subject) {
    let kv = subject.open().await;
    kv.publish("c", Bytes::from_static(b"to nobody")).await.unwrap();
    let (mut one, mut two) = (kv.subscribe("c").await.unwrap(), kv.subscribe("c").await.unwrap());
    let mut other = kv.subscribe("d").await.unwrap();
    for message in ["a", "b"] {
        kv.publish("c", message.into()).await.unwrap();
    }
    kv.publish("d", "x".into()).await.unwrap();
    for expected in ["a", "b"] {
        assert_eq!(one.next().await, Some(Received::Message(expected.into())));
        assert_eq!(two.next().await, Some(Received::Message(expected.into())));
    }
    assert_eq!(other.next().await, Some(Received::Message("x".into())));
    drop(two);
    // Who is too slow is told how much is missing, and goes on with what is there.
    let sent = 5_000_u32;
    for number in 0..sent {
        kv.publish("c", number.to_string().into()).await.unwrap();
    }
    let mut missed = 0;
    let next = loop {
        match one.next().await.unwrap() {
            // More may be missed while messages are still on their way.
            Received::Missed(more) => missed += more,
            Received::Message(next) => break next,
        }
    };
    assert!(missed > 0 && next == missed.to_string(), "{missed} missed, then {next:?}");
    drop((one, other));
    let mut late = kv.subscribe("c").await.unwrap();
    kv.publish("c", "late".into()).await.unwrap();
    assert_eq!(late.next().await, Some(Received::Message("late".into())));
    drop(kv);
    assert_eq!(late.next().await, None);
}

pub(crate) async fn queue_order(subject: &impl Subject) {
    let kv = subject.open().await;
    let queue = kv.queue();
    assert_eq!(queue.head("l").await.unwrap(), crate::kv::Head::default());
    assert_eq!(queue.place("l", "a").await.unwrap(), None);
    assert!(queue.claim("l", 5, LONG).await.unwrap().is_empty());
    for (number, member) in (1..).zip(["a", "b", "c", "d"]) {
        let (place, is_new) = queue.join("l", member, WISH, MANY).await.unwrap();
        assert_eq!((place.number, &*place.content, is_new), (number, WISH, true));
    }
    let (again, is_new) = queue.join("l", "b", "another wish", MANY).await.unwrap();
    assert_eq!((again.number, &*again.content, is_new), (2, WISH, false));
    assert_eq!(queue.place("l", "b").await.unwrap(), Some(again));
    let full = queue.join("l", "e", "", 4).await.unwrap_err();
    assert_eq!((full.code, &*full.reason), (Code::Exhausted, "QUEUE_FULL"));
    assert!(!queue.join("l", "a", "", 4).await.unwrap().1, "who has a place keeps it");
    assert!(queue.leave("l", "b").await.unwrap());
    assert!(!queue.leave("l", "b").await.unwrap());
    assert_eq!(head(&queue).await, (0, 4, 3));
    assert_eq!(numbers(&queue.claim("l", 2, LONG).await.unwrap()), [1, 3]);
    assert_eq!(head(&queue).await, (3, 4, 3));
    assert!(queue.place("l", "a").await.unwrap().unwrap().claimed);
    assert!(!queue.place("l", "d").await.unwrap().unwrap().claimed);
    assert_eq!(queue.acknowledge("l", &[1, 4, 9]).await.unwrap(), 1, "only what is claimed");
    assert_eq!(queue.acknowledge("l", &[1]).await.unwrap(), 0);
    assert_eq!(queue.place("l", "a").await.unwrap(), None);
    // Coming back is a new place at the end, with a new number.
    assert_eq!(queue.join("l", "b", "", MANY).await.unwrap().0.number, 5);
    assert_eq!(numbers(&queue.claim("l", 9, LONG).await.unwrap()), [4, 5]);
    assert_eq!(queue.acknowledge("l", &[3, 4, 5]).await.unwrap(), 3);
    assert_eq!(head(&queue).await, (5, 5, 0));
    assert!(queue.lines(9).await.unwrap().is_empty());
    let long = "x".repeat(10_000);
    assert_eq!(queue.join("l", &long, "", MANY).await.unwrap_err().code, Code::Invalid);
    assert_eq!(queue.join("l", "z", &long, MANY).await.unwrap_err().code, Code::Invalid);
}

pub(crate) async fn queue_leases(subject: &impl Subject) {
    let kv = subject.open().await;
    let queue = kv.queue();
    for member in ["a", "b", "c", "d"] {
        queue.join("l", member, member, MANY).await.unwrap();
    }
    let first = queue.claim("l", 2, SHORT).await.unwrap();
    assert_eq!(first.iter().map(|item| item.attempts).collect::<Vec<_>>(), [0, 0]);
    assert_eq!(numbers(&queue.claim("l", 1, LONG).await.unwrap()), [3]);
    subject.pass(SHORT).await;
    // What was not acknowledged comes again before newer places, in order, and counted.
    let again = queue.claim("l", 3, SHORT).await.unwrap();
    assert_eq!(numbers(&again), [1, 2, 4]);
    assert_eq!(again.iter().map(|item| item.attempts).collect::<Vec<_>>(), [1, 1, 0]);
    assert_eq!((&*again[1].member, &*again[1].content, &*again[1].line), ("b", "b", "l"));
    assert_eq!(queue.head("l").await.unwrap().serving, 4);
    let refused = queue.leave("l", "a").await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::Conflict, "PLACE_CLAIMED"));
    subject.pass(SHORT).await;
    // Late, but nobody else has it: it is done.
    assert_eq!(queue.acknowledge("l", &[1, 2]).await.unwrap(), 2);
    assert_eq!(numbers(&queue.claim("l", 9, LONG).await.unwrap()), [4]);
    // Lines take turns.
    for line in ["m", "n"] {
        queue.join(line, "a", "", MANY).await.unwrap();
    }
    let mut turns = Vec::new();
    for _ in 0..6 {
        let line = queue.lines(1).await.unwrap().remove(0);
        queue.claim(&line, 1, LONG).await.unwrap();
        turns.push(line);
    }
    assert_eq!(turns[..3].iter().collect::<BTreeSet<_>>().len(), 3, "{turns:?}");
    assert_eq!(turns[..3], turns[3..]);
}

pub(crate) async fn queue_race(subject: &impl Subject) {
    let kv = subject.open().await;
    let queue = kv.queue();
    let join = |member: String| {
        let queue = queue.clone();
        async move { queue.join("l", &member, "", MANY).await.unwrap() }
    };
    // Each member comes twice at once.
    let joins = (0..400).map(|member| join((member % 200).to_string()));
    let places = join_all(joins).await;
    let given: BTreeSet<u64> = places.iter().map(|(place, _)| place.number).collect();
    assert_eq!(given, (1..=200).collect(), "no number twice, none left out");
    assert_eq!(places.iter().filter(|(_, is_new)| *is_new).count(), 200);
    let claims = join_all((0..40).map(|_| queue.claim("l", 7, LONG))).await;
    let mut claimed: Vec<u64> = claims.iter().flat_map(|c| numbers(c.as_ref().unwrap())).collect();
    claimed.sort_unstable();
    assert_eq!(claimed, (1..=200).collect::<Vec<_>>(), "each place is claimed once");
    let limited = join_all((0..50).map(|member| {
        let queue = queue.clone();
        async move { queue.join("small", &member.to_string(), "", 10).await }
    }));
    assert_eq!(limited.await.iter().filter(|joined| joined.is_ok()).count(), 10);
}

pub(crate) async fn queue_restart(subject: &impl Subject) {
    let kv = subject.open().await;
    let queue = kv.queue();
    for member in ["a", "b", "c", "d", "e"] {
        queue.join("l", member, member, MANY).await.unwrap();
    }
    queue.claim("l", 2, SHORT).await.unwrap();
    queue.acknowledge("l", &[1]).await.unwrap();
    queue.leave("l", "e").await.unwrap();
    let before = queue.place("l", "c").await.unwrap();
    let head_before = head(&queue).await;
    drop((kv, queue));

    let kv = subject.open().await;
    let queue = kv.queue();
    assert_eq!(queue.place("l", "c").await.unwrap(), before);
    assert_eq!(head(&queue).await, head_before);
    assert!(queue.place("l", "b").await.unwrap().unwrap().claimed);
    assert_eq!(numbers(&queue.claim("l", 1, SHORT).await.unwrap()), [3], "2 is still leased");
    subject.pass(SHORT).await;
    let items = queue.claim("l", 9, SHORT).await.unwrap();
    assert_eq!(numbers(&items), [2, 3, 4]);
    assert_eq!(items.iter().map(|item| item.attempts).collect::<Vec<_>>(), [1, 1, 0]);
    // The last number was given back before the restart, and is not given out again.
    assert_eq!(queue.join("l", "e", "", MANY).await.unwrap().0.number, 6);
    assert_eq!(queue.acknowledge("l", &[2, 3, 4]).await.unwrap(), 3);
    assert!(queue.leave("l", "e").await.unwrap());
    drop((kv, queue));

    let queue = subject.open().await.queue();
    assert_eq!(head(&queue).await, (4, 6, 0));
    assert!(queue.lines(9).await.unwrap().is_empty());
    assert_eq!(queue.join("l", "f", "", MANY).await.unwrap().0.number, 7);
}

pub(crate) async fn queue_outcomes(subject: &impl Subject) {
    let kv = subject.open().await;
    let queue = kv.queue();
    for member in ["a", "b", "c"] {
        queue.join("l", member, "wish", MANY).await.unwrap();
    }
    let begun = queue.claim("l", 2, SHORT).await.unwrap();
    // Whatever the clock of the store shows: `a` holds for a while, `b` doesn't.
    let at = |time: Duration| begun[0].joined_at.plus(time);
    let settled = |number, holds: Duration, kept: Duration| {
        let outcome = format!("served: {number}:");
        Settled { number, outcome, holds_until: at(holds), kept_until: at(kept) }
    };
    let two = [settled(1, SHORT, LONG), settled(2, Duration::ZERO, LONG)];
    let not_claimed = settled(3, LONG, LONG);
    let all = [&two[..], &[not_claimed, settled(9, LONG, LONG)]].concat();
    assert_eq!(queue.settle("l", all).await.unwrap(), [1, 2], "only what is claimed");
    assert_eq!(queue.settle("l", two.to_vec()).await.unwrap(), [0; 0], "and only once");
    assert_eq!(queue.settle("m", two.to_vec()).await.unwrap(), [0; 0]);
    assert_eq!(head(&queue).await, (2, 3, 1));
    let place = queue.place("l", "a").await.unwrap().unwrap();
    assert_eq!((place.number, place.claimed, &*place.content), (1, false, ""));
    assert_eq!(place.outcome.as_deref(), Some("served: 1:"));
    assert_eq!((place.joined_at, queue.place("m", "a").await.unwrap()), (at(Duration::ZERO), None));
    assert!(!queue.leave("l", "a").await.unwrap(), "there is nothing to give up");
    // Who is served already gets no other place while that holds, who is not in it any more does.
    assert_eq!(queue.join("l", "a", "", MANY).await.unwrap(), (place.clone(), false));
    let (again, is_new) = queue.join("l", "b", "", MANY).await.unwrap();
    assert_eq!((again.number, is_new, again.outcome), (4, true, None));
    let long = Settled { outcome: "x".repeat(10_000), ..settled(4, SHORT, SHORT) };
    assert_eq!(queue.settle("l", vec![long]).await.unwrap_err().code, Code::Invalid);
    drop((kv, queue));

    let queue = subject.open().await.queue();
    assert_eq!(queue.place("l", "a").await.unwrap(), Some(place));
    assert_eq!(queue.place("l", "b").await.unwrap().unwrap().number, 4);
    assert!(!queue.join("l", "a", "", MANY).await.unwrap().1);
    subject.pass(SHORT).await;
    assert_eq!(queue.join("l", "a", "", MANY).await.unwrap().0.number, 5);
    // What became of it is kept for its time, and not for longer.
    assert_eq!(numbers(&queue.claim("l", 1, LONG).await.unwrap()), [3]);
    assert_eq!(queue.settle("l", vec![settled(3, SHORT, LASTING)]).await.unwrap(), [3]);
    assert!(queue.place("l", "c").await.unwrap().unwrap().outcome.is_some());
    subject.pass(LASTING).await;
    assert_eq!(queue.place("l", "c").await.unwrap(), None);
    assert_eq!(queue.join("l", "c", "", MANY).await.unwrap().0.number, 6);
    drop(queue);
    let queue = subject.open().await.queue();
    assert_eq!(queue.place("l", "c").await.unwrap().unwrap().number, 6);
}

pub(crate) async fn queue_settings(subject: &impl Subject) {
    let kv = subject.open().await;
    let queue = kv.queue();
    assert_eq!(queue.settings("l").await.unwrap(), None);
    queue.configure("l", "slow").await.unwrap();
    assert_eq!(queue.settings("l").await.unwrap().as_deref(), Some("slow"));
    assert!(queue.lines(9).await.unwrap().is_empty(), "a line without places has no turn");
    queue.join("l", "a", "", MANY).await.unwrap();
    queue.join("m", "a", "", MANY).await.unwrap();
    queue.configure("l", "fast").await.unwrap();
    queue.leave("l", "a").await.unwrap();
    assert_eq!(queue.settings("m").await.unwrap(), None);
    let long = "x".repeat(10_000);
    assert_eq!(queue.configure("l", &long).await.unwrap_err().code, Code::Invalid);
    assert_eq!(queue.configure(&long, "").await.unwrap_err().code, Code::Invalid);
    drop((kv, queue));
    let queue = subject.open().await.queue();
    assert_eq!(queue.settings("l").await.unwrap().as_deref(), Some("fast"));
    assert_eq!(head(&queue).await, (0, 1, 0));
}

fn numbers(items: &[Item]) -> Vec<u64> {
    items.iter().map(|item| item.number).collect()
}

async fn head(queue: &Queue) -> (u64, u64, u64) {
    let head = queue.head("l").await.unwrap();
    (head.serving, head.last, head.waiting)
}
