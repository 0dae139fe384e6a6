//! Holds: made, repeated, lapsed, given back.

use super::*;
use ticket::domain::hold::HoldStatus;

#[tokio::test]
async fn chosen_seats_are_held_once_and_the_next_buyer_is_told_which_are_taken() {
    for house in theatres().await {
        let first = house.hold(seats(&["B/3", "B/4"])).await.unwrap();
        assert_eq!(held_seats(&first), ["stalls/B/3", "stalls/B/4"]);
        assert_eq!(first.places[0].category, "best");
        assert_eq!(first.hold.expires_at, now(&house).plus(Duration::from_secs(900)));

        let (reason, facts) = refusal(house.hold(seats(&["B/4", "B/5"])).await);
        assert_eq!(reason, "SEAT_TAKEN");
        assert_eq!((facts["seats"].as_str(), facts["available"].as_str()), ("stalls/B/4", "46"));
        assert!(house.hold(seats(&["B/5"])).await.is_ok(), "all or nothing: B/5 was left alone");
        assert_eq!(audit::check(&house.db.db).await.held, 3);
        assert_eq!(house.available().await, 45);
        let seats = ops::get_availability(&house.app, EVENT, true).await.unwrap().seats.unwrap();
        assert_eq!(seats.held, ["B/3", "B/4", "B/5"].map(seat));
        assert!(seats.sold.is_empty());
    }
}

#[tokio::test]
async fn a_repeat_gets_the_same_hold_and_a_misuse_of_its_id_is_refused() {
    for house in theatres().await {
        for choice in [seats(&["B/3", "B/4"]), best(2), standing(3)] {
            let wish = house.wish(choice);
            let first = hold(&house.app, wish.clone()).await.unwrap();
            house.clock.advance(Duration::from_secs(5));
            let repeat = hold(&house.app, wish.clone()).await.unwrap();
            assert_eq!(repeat, first, "also with the same expiry");
            // Two in one batch, and a replica that knows nothing.
            let (one, two) =
                tokio::join!(hold(&house.app, wish.clone()), hold(&house.app, wish.clone()));
            assert_eq!((one.unwrap(), two.unwrap()), (first.clone(), first.clone()));
            let replica = house.replica().await;
            assert_eq!(hold(&replica, wish.clone()).await.unwrap(), first);

            let other = HoldSeats { choice: seats(&["C/1"]), ..wish.clone() };
            assert_eq!(reason(hold(&house.app, other).await), "HOLD_MISMATCH");
            let stranger = AccountId::from_uuid(Uuid::from_u128(0xbad));
            let other = HoldSeats { account_id: stranger, ..wish.clone() };
            assert_eq!(reason(hold(&house.app, other).await), "HOLD_MISMATCH");

            assert!(house.release(wish.hold_id).await.unwrap());
            assert_eq!(reason(hold(&house.app, wish).await), "HOLD_LOST");
        }
        assert_eq!(audit::check(&house.db.db).await.held, 0);
    }
}

#[tokio::test]
async fn a_repeat_is_known_also_when_everything_is_sold_out() {
    for house in theatres().await {
        let wish = house.wish(best(4));
        let first = hold(&house.app, wish.clone()).await.unwrap();
        while house.hold(best(1)).await.is_ok() {}
        assert_eq!(hold(&house.app, wish.clone()).await.unwrap(), first);
        let other = HoldSeats { choice: best(5), ..wish };
        assert_eq!(reason(hold(&house.app, other).await), "HOLD_MISMATCH");
    }
}

#[tokio::test]
async fn the_best_seats_run_out_exactly_and_leave_the_wheelchair_places() {
    for house in theatres().await {
        let mut sold = 0;
        let refused = loop {
            match house.hold(best(3)).await {
                Ok(held) => sold += held.places.len(),
                Err(error) => break refusal(Err::<(), _>(error)),
            }
        };
        assert_eq!((sold, refused.0.as_str()), (24, "SOLD_OUT"));
        assert_eq!(refused.1["available"], "2", "26 seats that anybody may have");
        assert_eq!(house.hold(best(2)).await.unwrap().places.len(), 2);
        assert_eq!(reason(house.hold(best(1)).await), "SOLD_OUT");
        let wheelchair = Choice::BestAvailable {
            quantity: 2,
            section: Some("stalls".into()),
            category: Some("best".into()),
            wheelchair: 2,
        };
        let held = house.hold(wheelchair.clone()).await.unwrap();
        assert_eq!(held_seats(&held), ["stalls/A/1", "stalls/A/8"]);
        assert!(held.places.iter().all(|place| place.wheelchair));
        assert_eq!(reason(house.hold(wheelchair).await), "SOLD_OUT");
        assert_eq!(audit::check(&house.db.db).await.held, 28);
    }
}

#[tokio::test]
async fn the_best_of_an_area_without_seats_are_admissions() {
    for house in theatres().await {
        let choice = Choice::BestAvailable {
            quantity: 8,
            section: None,
            category: Some("standing".into()),
            wheelchair: 0,
        };
        assert!(house.hold(choice.clone()).await.unwrap().places[0].seat.is_none());
        assert!(house.hold(choice.clone()).await.is_ok());
        let (reason, facts) = refusal(house.hold(choice).await);
        assert_eq!((reason.as_str(), facts["available"].as_str()), ("SOLD_OUT", "4"));
    }
}

#[tokio::test]
async fn a_lapsed_hold_gives_way_to_the_next_buyer_without_waiting_for_the_sweep() {
    for house in theatres().await {
        let first = house.hold(seats(&["B/1", "B/2"])).await.unwrap();
        house.hold(standing(10)).await.unwrap();
        house.hold(standing(10)).await.unwrap();
        assert_eq!(reason(house.hold(standing(1)).await), "SOLD_OUT");
        assert_eq!(reason(house.hold(seats(&["B/2"])).await), "SEAT_TAKEN");
        house.lapse();
        assert!(house.hold(seats(&["B/2"])).await.is_ok());
        let books = audit::check(&house.db.db).await;
        assert_eq!(books.held, 1, "its other seat, and the admissions, were freed with it");
        assert!(house.hold(standing(10)).await.is_ok());
        assert!(!house.release(first.hold.hold_id).await.unwrap(), "there is nothing left of it");
    }
}

#[tokio::test]
async fn lapsed_best_seats_are_sold_again_before_anybody_is_told_sold_out() {
    for house in theatres().await {
        while house.hold(best(2)).await.is_ok() {}
        house.lapse();
        assert_eq!(house.hold(best(6)).await.unwrap().places.len(), 6);
        assert_eq!(audit::check(&house.db.db).await.held, 6);
    }
}

#[tokio::test]
async fn the_sweep_expires_in_batches_and_tells_everybody() {
    for house in theatres().await {
        for _ in 0..5 {
            house.hold(best(2)).await.unwrap();
        }
        let late = house.hold(standing(2)).await.unwrap();
        assert_eq!(ops::expire_holds(&house.app).await.unwrap(), 0, "nothing has lapsed");
        house.clock.set(late.hold.expires_at);
        assert_eq!(ops::expire_holds(&house.app).await.unwrap(), 6, "at its expiry it is over");
        assert_eq!(ops::expire_holds(&house.app).await.unwrap(), 0);
        assert_eq!(house.available().await, 48);
        audit::check(&house.db.db).await;

        let told = messages(&house).await;
        let kinds: Vec<&str> = told.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(kinds.iter().filter(|kind| **kind == "seats.held").count(), 6);
        assert_eq!(kinds.iter().filter(|kind| **kind == "seats.released").count(), 6);
        let (_, last) = told.last().unwrap();
        assert_eq!(last["available"], 48);
        assert_eq!(last["reason"], "expired");
        let first = &told[0].1;
        assert_eq!(
            (&first["available"], &first["places"][0]["category"]),
            (&46.into(), &"best".into())
        );
    }
}

/// Kinds and contents of the outbox, in order.
pub(super) async fn messages(house: &House) -> Vec<(String, serde_json::Value)> {
    let read = house.db.db.read(|tx| {
        Box::pin(async move {
            let rows =
                tx.query("select kind, content from boxoffice_outbox order by seq", &[]).await?;
            let read = |row: &db::Row| Ok((row.get(0)?, row.get::<String>(1)?));
            rows.iter().map(read).collect::<Result<Vec<_>, db::Error>>()
        })
    });
    let rows: Vec<(String, String)> = read.await.unwrap();
    let json = |text: &str| serde_json::from_str(text).unwrap();
    rows.into_iter().map(|(kind, content)| (kind, json(&content))).collect()
}

#[tokio::test]
async fn a_release_frees_once_and_leaves_sold_places_alone() {
    for house in theatres().await {
        let held = house.hold(seats(&["A/2", "C/1"])).await.unwrap();
        let other = house.hold(standing(2)).await.unwrap();
        let (one, two, three) = tokio::join!(
            house.release(held.hold.hold_id),
            house.release(held.hold.hold_id),
            house.release(other.hold.hold_id)
        );
        assert_eq!(
            [one.unwrap(), two.unwrap(), three.unwrap()].iter().filter(|it| **it).count(),
            2
        );
        assert!(!house.release(house.hold_id()).await.unwrap(), "a hold that never was");
        assert_eq!(house.available().await, 48);

        let again = house.hold(seats(&["A/2", "C/1"])).await.unwrap();
        house.issue(again.hold.hold_id).await.unwrap();
        assert_eq!(reason(house.release(again.hold.hold_id).await), "HOLD_ISSUED");
        house.lapse();
        assert_eq!(ops::expire_holds(&house.app).await.unwrap(), 0, "sold seats never lapse");
        let books = audit::check(&house.db.db).await;
        assert_eq!((books.held, books.sold), (0, 2));
        assert_eq!(again.hold.status, HoldStatus::Held);
    }
}

#[tokio::test]
async fn another_replicas_releases_are_found_before_anybody_is_told_sold_out() {
    for house in theatres().await {
        let replica = house.replica().await;
        let mut mine = Vec::new();
        while let Ok(held) = house.hold(best(2)).await {
            mine.push(held.hold.hold_id);
        }
        assert_eq!(reason(hold(&replica, house.wish(best(2))).await), "SOLD_OUT");
        house.release(mine[0]).await.unwrap();
        // The replica's map never heard of it.
        let found = hold(&replica, house.wish(best(2))).await.unwrap();
        assert_eq!(found.places.len(), 2);
        // And the house's map never heard of that.
        assert_eq!(reason(house.hold(best(1)).await), "SOLD_OUT");
        house.release(mine[1]).await.unwrap();
        assert!(house.hold(best(2)).await.is_ok());
        assert_eq!(audit::check(&house.db.db).await.held, 26);

        house.clock.advance(Duration::from_secs(1));
        let seen = ops::get_availability(&replica, EVENT, true).await.unwrap();
        house.clock.advance(Duration::from_secs(1));
        let later = ops::get_availability(&replica, EVENT, true).await.unwrap();
        assert_eq!(seen.counters.tally.available, 22);
        assert_eq!(later.seats.unwrap().held.len(), 26, "a second later the names are right too");
    }
}

#[tokio::test]
async fn a_seat_taken_at_another_replica_is_shown_as_taken_also_after_a_quiet_time() {
    for house in theatres().await {
        let other = house.replica().await;
        let taken = async || {
            let seen = ops::get_availability(&other, EVENT, true).await.unwrap();
            seen.seats.unwrap().held.len()
        };
        assert_eq!(taken().await, 0);
        house.hold(seats(&["A/2", "A/3"])).await.unwrap();
        house.clock.advance(Duration::from_secs(60));
        assert_eq!(taken().await, 2, "nobody had asked here for a minute");
        // While many ask, what another replica does is seen with the next reading but one.
        house.hold(seats(&["B/1"])).await.unwrap();
        for _ in 0..2 {
            house.clock.advance(Duration::from_millis(501));
            taken().await;
        }
        assert_eq!(taken().await, 3);
    }
}
