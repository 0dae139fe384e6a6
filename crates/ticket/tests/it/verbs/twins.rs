//! Twins: what the guards in the database are for. Each guard refuses what its twin, without the
//! guard, lets happen, and the audit finds.

use db::{Db, Tx};

use super::*;
use ticket::{
    domain::hold::{Hold, HoldStatus, Places},
    store::{
        claims::{self, Claim},
        holds, inventories,
        sections::{self, Shift},
        tickets,
    },
};

async fn execute(db: &Db, sql: &'static str) {
    let done = db.write(move |tx| Box::pin(async move { tx.execute(sql, &[]).await }));
    let done: Result<u64, db::Error> = done.await;
    done.unwrap();
}

fn wanted(house: &House, places: Places) -> Hold {
    Hold {
        hold_id: house.hold_id(),
        event_id: EVENT,
        account_id: BUYER,
        fingerprint: String::new(),
        places,
        status: HoldStatus::Held,
        expires_at: now(house).plus(Duration::from_secs(60)),
    }
}

/// Writes a hold as a transaction does that believes its places to be free; returns how many seats
/// it won, and whether its places were counted.
async fn force(tx: &mut Tx, hold: &Hold) -> Result<(usize, bool), db::Error> {
    holds::insert(tx, &[(hold, hold.expires_at)]).await?;
    let claim = |seat| Claim { event_id: EVENT, seat, hold_id: hold.hold_id };
    let seats = hold.places.as_seats().iter().map(|seat| (claim(seat), hold.expires_at));
    let won = claims::take(tx, &seats.collect::<Vec<_>>()).await?;
    let shifts: Vec<Shift<'_>> = hold
        .places
        .by_section()
        .into_iter()
        .map(|(section, held)| Shift { event_id: EVENT, section, held, sold: 0 })
        .collect();
    let counted = sections::shift(tx, &shifts).await?.len() == shifts.len();
    inventories::bump(tx, &[(EVENT, i64::from(hold.places.quantity()))]).await?;
    Ok((won.len(), counted))
}

async fn try_to(house: &House, hold: &Hold) -> (usize, bool) {
    let hold = hold.clone();
    let forced = house.db.db.write(move |tx| {
        let hold = hold.clone();
        Box::pin(async move { force(tx, &hold).await })
    });
    forced.await.unwrap()
}

#[tokio::test]
async fn the_unique_claim_refuses_a_second_sale_and_without_it_the_audit_finds_one() {
    for house in theatres().await {
        let seat = || Places::seats(vec![seat("B/1")]);
        assert_eq!(try_to(&house, &wanted(&house, seat())).await.0, 1);
        assert_eq!(try_to(&house, &wanted(&house, seat())).await.0, 0, "the guard");
    }
    for house in theatres().await {
        // The same table without its key.
        let db = &house.db.db;
        execute(db, "alter table claims rename to claims_before").await;
        execute(
            db,
            match db.engine() {
                db::Engine::Postgres => "create table claims (like claims_before)",
                db::Engine::Sqlite => "create table claims as select * from claims_before",
            },
        )
        .await;
        let seat = seat("B/1");
        for _ in 0..2 {
            let hold = wanted(&house, Places::seats(vec![seat.clone()]));
            let seat = seat.clone();
            let forced = db.write(move |tx| {
                let (hold, seat) = (hold.clone(), seat.clone());
                Box::pin(async move {
                    holds::insert(tx, &[(&hold, hold.expires_at)]).await?;
                    tx.execute(
                        "insert into claims (event_id, seat, hold_id, state, expires_at)
                         values ($1, $2, $3, 'held', $4)",
                        &[
                            EVENT.into(),
                            seat.as_str().into(),
                            hold.hold_id.into(),
                            hold.expires_at.into(),
                        ],
                    )
                    .await
                })
            });
            let forced: Result<u64, db::Error> = forced.await;
            forced.unwrap();
        }
        let wrong = audit::audit(db).await.wrong;
        assert!(wrong.iter().any(|text| text == "stalls/B/1 is claimed twice"), "{wrong:?}");
    }
}

#[tokio::test]
async fn the_condition_on_the_counter_refuses_one_too_many_and_without_it_the_audit_finds_it() {
    let crowd = |quantity| Places::Admissions { section: "standing".into(), quantity };
    for house in theatres().await {
        assert!(try_to(&house, &wanted(&house, crowd(20))).await.1);
        assert!(!try_to(&house, &wanted(&house, crowd(1))).await.1, "the guard");
    }
    for house in theatres().await {
        let db = &house.db.db;
        assert!(try_to(&house, &wanted(&house, crowd(20))).await.1);
        // The same update without its condition; the table's own check stands behind it.
        let unguarded = "update sections set held = held + 1 where section = 'standing'";
        let forced = db.write(move |tx| Box::pin(async move { tx.execute(unguarded, &[]).await }));
        let forced: Result<u64, db::Error> = forced.await;
        assert!(matches!(forced, Err(db::Error::Constraint(_))), "{forced:?}");
        if db.engine() == db::Engine::Postgres {
            execute(db, "alter table sections drop constraint sections_capacity_check").await;
            execute(db, unguarded).await;
            assert!(!audit::audit(db).await.wrong.is_empty());
        }
    }
}

#[tokio::test]
async fn no_seat_has_two_living_tickets_whatever_the_claims_say() {
    for house in theatres().await {
        let held = house.hold(seats(&["B/1"])).await.unwrap();
        let ticket = house.issue(held.hold.hold_id).await.unwrap().remove(0);
        let twin = Ticket {
            ticket_id: kernel::TicketId::from_uuid(Uuid::from_u128(1)),
            number: "TKTOTHER".into(),
            booking_id: BookingId::from_uuid(Uuid::from_u128(2)),
            ..ticket
        };
        let forced = house.db.db.write(move |tx| {
            let twin = twin.clone();
            Box::pin(async move {
                let new = tickets::New { ticket: &twin, reference: "", actor: "" };
                tickets::insert(tx, &[new]).await
            })
        });
        let forced: Result<u64, db::Error> = forced.await;
        assert!(matches!(forced, Err(db::Error::Unique { .. })), "{forced:?}");
    }
}
