//! Properties of a batch: no seat and no admission to two, all or nothing, first come first served.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn seat(number: u32) -> SeatRef {
    format!("s/A/{number}").parse().unwrap()
}

fn id(number: u8) -> HoldId {
    HoldId::from_uuid(Uuid::from_u128(number.into()))
}

const EVENT: EventId = EventId::from_uuid(Uuid::from_u128(1));
const ACCOUNT: AccountId = AccountId::from_uuid(Uuid::from_u128(2));
const NOW: Timestamp = Timestamp::from_seconds(1_000);

fn ask<'a>(hold: u8, places: &'a Places, fingerprint: &'a str) -> Asked<'a> {
    let (event_id, account_id) = (EVENT, ACCOUNT);
    Asked { hold_id: id(hold), event_id, account_id, fingerprint, places, now: NOW }
}

#[test]
fn a_repeat_gets_the_first_answer_and_another_wish_under_the_same_id_is_refused() {
    let one = Places::seats(vec![seat(1)]);
    let two = Places::seats(vec![seat(2)]);
    let batch = [ask(1, &one, "1"), ask(1, &one, "1"), ask(1, &two, "2"), ask(2, &one, "1")];
    let verdicts = decide(&batch, &Known::default());
    assert_eq!(verdicts[..3], [Verdict::Granted, Verdict::SameAs(0), Verdict::Mismatch]);
    let taken = Verdict::Taken { seats: vec![seat(1)], lapsed: false, by_neighbour: true };
    assert_eq!(verdicts[3], taken);

    let mut hold = Hold {
        hold_id: id(1),
        event_id: EVENT,
        account_id: ACCOUNT,
        fingerprint: "1".into(),
        places: one.clone(),
        status: HoldStatus::Held,
        expires_at: NOW,
    };
    let known = |hold: &Hold| Known {
        holds: HashMap::from([(hold.hold_id, hold.clone())]),
        ..Known::default()
    };
    let asked = [ask(1, &one, "1"), ask(1, &two, "2")];
    assert_eq!(decide(&asked, &known(&hold)), [Verdict::Repeated, Verdict::Mismatch]);
    hold.status = HoldStatus::Expired;
    let over = Verdict::Over(HoldStatus::Expired);
    assert_eq!(decide(&asked, &known(&hold)), [over, Verdict::Mismatch]);
}

#[test]
fn a_claim_that_has_lapsed_is_named_as_such() {
    let wish = Places::seats(vec![seat(1), seat(2)]);
    let known = |until| Known {
        claims: HashMap::from([(EVENT, HashMap::from([(seat(2), until)]))]),
        ..Known::default()
    };
    let decided = |until| decide(&[ask(1, &wish, "")], &known(until)).remove(0);
    let taken = |lapsed| Verdict::Taken { seats: vec![seat(2)], lapsed, by_neighbour: false };
    assert_eq!(decided(Some(NOW)), taken(true));
    assert_eq!(decided(Some(Timestamp::from_seconds(1_001))), taken(false));
    assert_eq!(decided(None), taken(false), "sold seats never lapse");
}

proptest! {
    #[test]
    fn nothing_is_given_twice_and_nothing_is_refused_without_need(
        wishes in proptest::collection::vec(
            prop_oneof![
                proptest::collection::hash_set(0_u32..12, 1..5).prop_map(|numbers| {
                    Places::seats(numbers.into_iter().map(seat).collect())
                }),
                (1_u32..6).prop_map(|quantity| {
                    Places::Admissions { section: "ga".into(), quantity }
                }),
            ],
            1..20,
        ),
        claimed in proptest::collection::hash_set(0_u32..12, 0..6),
        room in 0_i64..20,
    ) {
        let claims: HashMap<SeatRef, _> = claimed.iter().map(|n| (seat(*n), None)).collect();
        let known = Known {
            holds: HashMap::new(),
            claims: HashMap::from([(EVENT, claims)]),
            free: HashMap::from([(EVENT, HashMap::from([("ga".to_owned(), room)]))]),
        };
        let batch: Vec<Asked<'_>> =
            (0_u8..).zip(&wishes).map(|(hold, places)| ask(hold, places, "")).collect();
        let verdicts = decide(&batch, &known);
        prop_assert_eq!(verdicts.len(), batch.len());
        let mut taken: HashSet<SeatRef> = claimed.into_iter().map(seat).collect();
        let mut left = room;
        for (places, verdict) in wishes.iter().zip(verdicts) {
            let fits = match places {
                Places::Seats(seats) => seats.iter().all(|seat| !taken.contains(seat)),
                Places::Admissions { quantity, .. } => i64::from(*quantity) <= left,
            };
            prop_assert_eq!(verdict == Verdict::Granted, fits);
            match places {
                Places::Seats(seats) if fits => taken.extend(seats.iter().cloned()),
                Places::Admissions { quantity, .. } if fits => left -= i64::from(*quantity),
                _ => {}
            }
        }
        prop_assert!(left >= 0);
    }
}
