//! Lives of buyers, told by hand.

use super::*;
use crate::Preset;

fn how(change: impl FnOnce(&mut Behaviour)) -> Behaviour {
    let mut how = Preset::Sale.scenario().behaviour;
    (how.abandon, how.decline, how.come_back) = (0.0, 0.0, 0.0);
    change(&mut how);
    how
}

const T: Duration = Duration::from_secs(5);

/// What a buyer does, given all that it hears, one after the other.
fn acts(buyer: &mut Buyer, how: &Behaviour, heard: &[Heard]) -> Vec<Act> {
    heard.iter().map(|heard| buyer.step(T, *heard, how)).collect()
}

#[test]
fn a_straight_way_leads_to_tickets() {
    let how = how(|_| {});
    let mut buyer = Buyer::new(1, 1);
    let free = Heard::Free { seats: 10, admissions: 0 };
    let heard = [
        Heard::Arrived,
        Heard::Queued,
        Heard::Admitted,
        free,
        Heard::TimeUp,
        Heard::Held { free: false },
        Heard::TimeUp,
        Heard::Paid,
        Heard::Ticketed,
    ];
    let acts = acts(&mut buyer, &how, &heard);
    assert_eq!(acts[0], Act::Join);
    assert!(matches!(acts[1], Act::AwaitTurn { until, stays: false } if until > T));
    assert_eq!(acts[2], Act::Look);
    assert!(matches!(acts[3], Act::Pause { until } if until > T));
    let Act::Book(wish) = acts[4] else { panic!("{acts:?}") };
    assert!((1..=3).contains(&wish.places) && wish.way != Way::Admissions);
    assert!(matches!(acts[5], Act::Pause { until } if until > T));
    assert_eq!(acts[6], Act::Pay { good: true });
    assert!(matches!(acts[7], Act::AwaitTickets { .. }));
    assert_eq!(acts[8], Act::Go(End::Ticketed));
}

#[test]
fn a_refused_buyer_looks_again_and_wishes_anew() {
    let how = how(|how| (how.queue, how.tries) = (false, 2));
    let mut buyer = Buyer::new(1, 2);
    let free = Heard::Free { seats: 1, admissions: 0 };
    let heard = [Heard::Arrived, free, Heard::TimeUp, Heard::SeatTaken, free, Heard::TimeUp];
    let all = acts(&mut buyer, &how, &heard);
    let (Act::Book(first), Act::Book(second)) = (all[2], all[5]) else { panic!("{all:?}") };
    assert_eq!((all[3], first.number, second.number), (Act::Look, 1, 2));
    assert_eq!(second.places, 1, "no more than is free");
    assert_eq!(acts(&mut buyer, &how, &[Heard::SeatTaken]), [Act::Go(End::Outrun)]);
}

#[test]
fn what_was_lost_on_the_way_is_the_same_wish_again_and_has_an_end() {
    let how = how(|how| how.queue = false);
    let mut buyer = Buyer::new(1, 3);
    let free = Heard::Free { seats: 9, admissions: 9 };
    let wished = acts(&mut buyer, &how, &[Heard::Arrived, free, Heard::TimeUp])[2];
    for _ in 0..how.put_offs {
        let paused = buyer.step(T, Heard::Lost, &how);
        assert!(matches!(paused, Act::Pause { until } if until >= T + LOST_PAUSE));
        assert_eq!(buyer.step(T, Heard::TimeUp, &how), wished);
    }
    assert_eq!(buyer.step(T, Heard::Lost, &how), Act::Go(End::TurnedAway));
}

#[test]
fn who_has_no_patience_leaves_when_put_off_but_never_what_is_held() {
    let how = how(|how| (how.queue, how.put_offs) = (false, 0));
    let after = Duration::from_secs(1);
    let mut buyer = Buyer::new(1, 3);
    let put_off = Heard::PutOff { after };
    let all = acts(&mut buyer, &how, &[Heard::Arrived, put_off]);
    assert_eq!(all[1], Act::Go(End::TurnedAway));

    let mut buyer = Buyer::new(1, 3);
    let free = Heard::Free { seats: 9, admissions: 9 };
    let held = Heard::Held { free: false };
    let heard = [Heard::Arrived, free, Heard::TimeUp, held, Heard::TimeUp, put_off];
    let all = acts(&mut buyer, &how, &heard);
    assert!(matches!(all[5], Act::Pause { until } if until >= T + after), "{all:?}");
}

#[test]
fn who_is_put_off_comes_when_told_to_and_not_all_at_once() {
    let how = how(|how| how.queue = false);
    let after = Duration::from_secs(2);
    let mut times: Vec<_> = (0..50)
        .map(|number| {
            let mut buyer = Buyer::new(1, number);
            acts(&mut buyer, &how, &[Heard::Arrived, Heard::PutOff { after }])[1]
        })
        .map(|act| match act {
            Act::Pause { until } if until >= T + after => until,
            other => panic!("{other:?}"),
        })
        .collect();
    times.sort_unstable();
    times.dedup();
    assert!(times.len() > 40);
}

#[test]
fn a_declined_card_is_followed_by_another_until_there_is_none() {
    let how = how(|how| (how.queue, how.decline) = (false, 1.0));
    let mut buyer = Buyer::new(1, 4);
    let free = Heard::Free { seats: 9, admissions: 9 };
    acts(&mut buyer, &how, &[Heard::Arrived, free, Heard::TimeUp, Heard::Held { free: false }]);
    for _ in 1..CARDS {
        let tried = acts(&mut buyer, &how, &[Heard::TimeUp, Heard::Declined]);
        assert_eq!(tried[0], Act::Pay { good: false });
        assert!(matches!(tried[1], Act::Pause { .. }));
    }
    let last = acts(&mut buyer, &how, &[Heard::TimeUp, Heard::Declined]);
    assert_eq!(last[1], Act::Go(End::Declined));
}

#[test]
fn a_line_that_stands_still_is_left_or_stayed_in() {
    let leaves = how(|_| {});
    let mut buyer = Buyer::new(1, 5);
    let heard = [Heard::Arrived, Heard::Queued, Heard::Halted, Heard::Left];
    let all = acts(&mut buyer, &leaves, &heard);
    assert_eq!((all[2], all[3]), (Act::Leave, Act::Go(End::SoldOut)));
    let stays = how(|how| how.come_back = 1.0);
    let mut buyer = Buyer::new(1, 5);
    let all = acts(&mut buyer, &stays, &heard[..3]);
    assert!(matches!(all[2], Act::AwaitTurn { stays: true, .. }));
    let mut late_comer = Buyer::new(1, 5);
    let told = acts(&mut late_comer, &leaves, &[Heard::Arrived, Heard::Halted, Heard::Left]);
    assert_eq!(told[1..], [Act::Leave, Act::Go(End::SoldOut)], "nor does one join it");
    let late = acts(&mut buyer, &leaves, &[Heard::TimeUp, Heard::Left]);
    assert_eq!(late, [Act::Leave, Act::Go(End::GaveUp)]);
}

#[test]
fn who_gives_up_when_the_turn_comes_takes_it() {
    let how = how(|_| {});
    let mut buyer = Buyer::new(1, 6);
    let heard = [Heard::Arrived, Heard::Queued, Heard::TimeUp, Heard::Admitted];
    assert_eq!(acts(&mut buyer, &how, &heard)[2..], [Act::Leave, Act::Look]);
}

#[test]
fn one_comes_back_as_often_as_one_visits() {
    let how = how(|how| (how.queue, how.come_back, how.visits) = (false, 1.0, 3));
    let mut buyer = Buyer::new(1, 7);
    let none = Heard::Free { seats: 0, admissions: 0 };
    let heard = [Heard::Arrived, none, Heard::TimeUp, none, Heard::TimeUp, none];
    let all = acts(&mut buyer, &how, &heard);
    assert!(matches!((all[1], all[3]), (Act::Pause { .. }, Act::Pause { .. })), "{all:?}");
    assert_eq!((all[2], all[5]), (Act::Look, Act::Go(End::SoldOut)));
}

#[test]
fn a_standby_takes_one_place_and_pays_at_once() {
    let how = how(|how| (how.queue, how.abandon, how.decline) = (false, 1.0, 1.0));
    let mut buyer = Buyer::standby(1, 8);
    let free = Heard::Free { seats: 5, admissions: 0 };
    let heard = [Heard::Arrived, free, Heard::TimeUp, Heard::Held { free: false }, Heard::TimeUp];
    let all = acts(&mut buyer, &how, &heard);
    assert!(matches!(all[2], Act::Book(Wish { places: 1, .. })), "{all:?}");
    assert_eq!((all[3], all[4]), (Act::Pause { until: T }, Act::Pay { good: true }));
}
