//! Every statement on both engines.

use std::{collections::HashSet, sync::Arc};

use kernel::{
    AccountId, BookingId, Choice, Currency, EventId, Failure, Ids as _, Money, OrganizationId,
    PaymentId, Place, SeatRef, Secret, Timestamp,
};
use testkit::{SeededIds, TestDb};

use super::{
    keys::{Answer, Claim},
    *,
};
use crate::{
    change::Transition,
    domain::{Cursor, Input, Line, Offer, PaymentStatus, RefusedWish, State, Status, Terms, Undo},
};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

async fn databases() -> Vec<TestDb> {
    testkit::databases(&[&platform::MIGRATIONS, &crate::MIGRATIONS]).await
}

fn bare(ids: &SeededIds, account_id: AccountId, key: &str) -> Booking {
    Booking {
        id: BookingId::from_uuid(ids.uuid(NOW)),
        reference: kernel::reference("BKG", ids, NOW),
        account_id,
        key: key.to_owned(),
        event_id: EventId::new(ids, NOW),
        choice: Choice::BestAvailable {
            quantity: 2,
            section: None,
            category: Some("a".to_owned()),
            wheelchair: 1,
        },
        admitted: true,
        state: State::NEW,
        offer: None,
        payment_id: None,
        client_secret: None,
        reason: String::new(),
        refusal: None,
        expires_at: NOW,
        created_at: NOW,
        confirmed_at: None,
        cancelled_at: None,
        version: 1,
        cursor: Cursor::default(),
    }
}

/// A booking with something in every column.
fn full(ids: &SeededIds, account_id: AccountId, key: &str) -> Booking {
    let seat: SeatRef = "stalls/A/1".parse().unwrap();
    let refusal = Failure::invalid("choice", "no").with("available", 3);
    let at = |seconds: i64| Some(Timestamp::from_seconds(1_800_000_000 + seconds));
    Booking {
        choice: Choice::Seats(vec![seat.clone()]),
        state: State { status: Status::Cancelled, payment: PaymentStatus::Refunding },
        offer: Some(Arc::new(Offer {
            terms: Terms {
                event_name: "Ha'mlet \u{1F3AD}".to_owned(),
                organization_id: Some(OrganizationId::new(ids, NOW)),
                venue_name: "Globe".to_owned(),
                time_zone: "Europe/London".to_owned(),
                starts_at: NOW,
            },
            places: vec![Place {
                section: "stalls".to_owned(),
                seat: Some(seat),
                category: "a".to_owned(),
                wheelchair: true,
            }],
            lines: vec![Line {
                category: "a".to_owned(),
                category_name: "A".to_owned(),
                quantity: 1,
                unit_price_minor: 1_250,
            }],
            total: Money::new(1_250, Currency::EUR),
        })),
        payment_id: Some(PaymentId::new(ids, NOW)),
        client_secret: Some(Secret::new("secret".to_owned())),
        reason: "BY_BUYER".to_owned(),
        refusal: Some(refusal),
        confirmed_at: at(1),
        cancelled_at: at(2),
        cursor: Cursor {
            due_at: at(3),
            leased: true,
            lease: 4,
            attempts: 5,
            undo: Undo::of(&[Step::RefundPayment, Step::ReleaseHold]),
            cancelling: true,
            refunds_failed: 6,
        },
        ..bare(ids, account_id, key)
    }
}

/// Writes bookings down as they are.
async fn put(tx: &mut Tx, bookings: &[Booking]) -> Result<(), db::Error> {
    let claims: Vec<_> = bookings.iter().map(Claim::Booking).collect();
    keys::claim_all(tx, &claims).await?;
    let changes: Vec<_> = bookings.iter().map(|booking| change_to(booking, &[])).collect();
    insert_all(tx, changes.iter()).await?;
    save(tx, bookings).await
}

/// A change that leads to `booking` by `steps`.
fn change_to(booking: &Booking, steps: &[Transition]) -> Change {
    let mut change = Change::of(booking.clone(), NOW);
    change.booking.version = booking.version;
    change.transitions = steps.to_vec();
    change
}

/// Saves bookings; those that have an offer by the step that makes it.
async fn save(tx: &mut Tx, bookings: &[Booking]) -> Result<(), db::Error> {
    let step = a_step(Input::SeatsReserved, (Status::Reserving, Status::SeatsReserved), "");
    let made: Vec<Vec<_>> = bookings
        .iter()
        .map(|booking| {
            let taken = booking.offer.iter().map(|_| step.clone()).collect::<Vec<_>>();
            steps(&change_to(booking, &taken)).collect()
        })
        .collect();
    save_all(tx, bookings.iter().zip(made.iter().map(Vec::as_slice))).await
}

#[tokio::test]
async fn a_booking_is_read_as_it_was_written() {
    for db in databases().await {
        let ids = SeededIds::new(1);
        let account = AccountId::new(&ids, NOW);
        let (first, full) = (bare(&ids, account, "k"), full(&ids, account, "k"));
        let nobody = BookingId::from_uuid(ids.uuid(NOW));
        let saved = Booking {
            id: first.id,
            reference: first.reference.clone(),
            event_id: first.event_id,
            choice: first.choice.clone(),
            version: 2,
            ..full.clone()
        };
        let other = Booking { key: "k2".to_owned(), ..full };
        let check = db.db.write(move |tx| {
            let (first, saved, other) = (first.clone(), saved.clone(), other.clone());
            Box::pin(async move {
                let all = [first.clone(), other.clone()];
                put(tx, &all).await?;
                insert_all(tx, [].iter()).await?;
                save(tx, &[]).await?;
                assert_eq!(load(tx, first.id).await?.as_ref(), Some(&first));
                let ids = BTreeSet::from([first.id, nobody, other.id]);
                let versions = HashMap::from([(first.id, 1), (other.id, 1)]);
                assert_eq!(lock_all(tx, ids.clone()).await?, versions);
                let loaded = load_all(tx, ids).await?;
                assert_eq!(loaded.get(&other.id), Some(&other));
                assert_eq!(loaded.len(), 2);
                save(tx, std::slice::from_ref(&saved)).await?;
                assert_eq!(load(tx, first.id).await?.as_ref(), Some(&saved));
                // A change that makes no offer leaves it as it is.
                let later = Booking { version: 3, offer: None, ..saved.clone() };
                save_all(tx, [(&later, [].as_slice())].into_iter()).await?;
                let kept = Booking { version: 3, ..saved };
                assert_eq!(load(tx, first.id).await?.as_ref(), Some(&kept));
                assert_eq!(load(tx, nobody).await?, None);
                Ok::<_, db::Error>(())
            })
        });
        check.await.unwrap_or_else(|error| panic!("{}: {error}", db.engine()));
    }
}

#[tokio::test]
async fn due_bookings_are_taken_once_the_most_overdue_first() {
    for db in databases().await {
        let ids = SeededIds::new(2);
        let account = AccountId::new(&ids, NOW);
        let check = db.db.write(move |tx| {
            let all: Vec<_> = [Some(3), Some(-2), None, Some(-1), Some(0)]
                .into_iter()
                .enumerate()
                .map(|(at, due)| {
                    let mut booking = bare(&ids, account, &format!("k{at}"));
                    let at = |seconds: i64| Timestamp::from_seconds(1_800_000_000 + seconds);
                    booking.cursor.due_at = due.map(at);
                    booking
                })
                .collect();
            Box::pin(async move {
                put(tx, &all).await?;
                let until = Timestamp::from_seconds(1_800_000_060);
                let mut taken = take_due(tx, NOW, until, 2).await?;
                taken.sort_by_key(|booking| booking.key.clone());
                let keys: Vec<_> = taken.iter().map(|booking| &*booking.key).collect();
                assert_eq!(keys, ["k1", "k3"]);
                assert!(taken.iter().all(|booking| {
                    let cursor = booking.cursor;
                    (cursor.leased, cursor.lease, booking.version) == (true, 1, 2)
                        && cursor.due_at == Some(until)
                }));
                assert_eq!(take_due(tx, NOW, until, 2).await?.len(), 1);
                assert!(take_due(tx, NOW, until, 2).await?.is_empty());
                Ok::<_, db::Error>(())
            })
        });
        check.await.unwrap_or_else(|error| panic!("{}: {error}", db.engine()));
    }
}

#[tokio::test]
async fn lists_and_dead_letters_keep_their_order() {
    for db in databases().await {
        let ids = SeededIds::new(3);
        let account = AccountId::new(&ids, NOW);
        let all: Vec<_> = (0..3).map(|at| bare(&ids, account, &format!("k{at}"))).collect();
        let check = db.db.write(move |tx| {
            let mut all = all.clone();
            Box::pin(async move {
                put(tx, &all).await?;
                all.sort_by_key(|booking| std::cmp::Reverse(booking.id));
                assert_eq!(list(tx, account, None, 2).await?, all[..2]);
                assert_eq!(list(tx, account, Some(all[1].id), 2).await?, all[2..]);

                let letter = |booking: &Booking, step, attempts| DeadLetter {
                    booking_id: booking.id,
                    step,
                    attempts,
                    last_error: "broken".to_owned(),
                    since: NOW,
                };
                let letters = [
                    letter(&all[2], Step::CancelPayment, 1),
                    letter(&all[2], Step::ReleaseHold, 2),
                    letter(&all[1], Step::CancelPayment, 3),
                ];
                bury(tx, &letter(&all[2], Step::CancelPayment, 9)).await?;
                for letter in &letters {
                    bury(tx, letter).await?;
                }
                assert_eq!(dead_letters(tx, None, 2).await?, letters[..2]);
                let last = Some((all[2].id, Step::ReleaseHold));
                assert_eq!(dead_letters(tx, last, 2).await?, letters[2..]);
                assert!(buried(tx, all[1].id, Step::CancelPayment).await?);
                unbury(tx, all[1].id, Step::CancelPayment).await?;
                assert!(!buried(tx, all[1].id, Step::CancelPayment).await?);
                assert_eq!(dead_letters(tx, None, 9).await?.len(), 2);
                Ok::<_, db::Error>(())
            })
        });
        check.await.unwrap_or_else(|error| panic!("{}: {error}", db.engine()));
    }
}

fn refused(ids: &SeededIds, account_id: AccountId, key: &str, at: Timestamp) -> RefusedWish {
    let booking = full(ids, account_id, key);
    RefusedWish {
        id: booking.id,
        account_id,
        key: key.to_owned(),
        event_id: booking.event_id,
        choice: booking.choice,
        refusal: Failure::invalid("choice", "no").with("available", 3),
        at,
    }
}

#[tokio::test]
async fn a_key_stands_for_who_came_first_and_a_refusal_for_a_while() {
    for db in databases().await {
        let ids = SeededIds::new(4);
        let account = AccountId::new(&ids, NOW);
        let (booking, twin) = (bare(&ids, account, "k"), bare(&ids, account, "k"));
        let stranger = bare(&ids, AccountId::new(&ids, NOW), "k");
        let at = |seconds: i64| Timestamp::from_seconds(1_800_000_000 + seconds);
        let no = refused(&ids, account, "no", at(2));
        let (again, late) = (bare(&ids, account, "no"), refused(&ids, account, "k", at(1)));
        let older = refused(&ids, account, "older", at(1));
        let check = db.db.write(move |tx| {
            let (booking, twin, stranger) = (booking.clone(), twin.clone(), stranger.clone());
            let (no, again, late, older) = (no.clone(), again.clone(), late.clone(), older.clone());
            Box::pin(async move {
                let claims = [
                    Claim::Booking(&booking),
                    Claim::Refusal(&no),
                    Claim::Booking(&twin),
                    Claim::Booking(&stranger),
                    Claim::Booking(&again),
                    Claim::Refusal(&late),
                ];
                let first = HashSet::from([booking.id, no.id, stranger.id]);
                assert_eq!(keys::claim_all(tx, &claims).await?, first);
                assert!(keys::claim_all(tx, &claims).await?.is_empty());
                assert!(keys::claim_all(tx, &[]).await?.is_empty());
                keys::claim_all(tx, &[Claim::Refusal(&older)]).await?;

                let unknown = "unknown".to_owned();
                let asked = [(account, &booking.key), (account, &no.key), (account, &unknown)];
                let found = keys::find_all(tx, asked.into_iter()).await?;
                let expected = [
                    (booking.key.clone(), Answer::Booking(booking.id)),
                    (no.key.clone(), Answer::Refusal(Box::new(no.clone()))),
                ];
                let expected = expected.map(|(key, answer)| ((account, key), answer));
                assert_eq!(found, HashMap::from(expected));

                assert_eq!(keys::forget(tx, at(3), 1).await?, 1, "the oldest first");
                let left =
                    keys::find_all(tx, [&no, &older].map(|it| (account, &it.key)).into_iter());
                assert_eq!(left.await?.into_keys().collect::<Vec<_>>(), [(account, no.key)]);
                assert_eq!(keys::forget(tx, at(2), 9).await?, 0);
                assert_eq!(keys::forget(tx, at(3), 9).await?, 1);
                let left = keys::find_all(tx, std::iter::once((account, &booking.key)));
                assert_eq!(left.await?.len(), 1, "a booking's key is never forgotten");
                Ok::<_, db::Error>(())
            })
        });
        check.await.unwrap_or_else(|error| panic!("{}: {error}", db.engine()));
    }
}

fn a_step(input: Input, (from, to): (Status, Status), reason: &str) -> Transition {
    let reason = reason.to_owned();
    Transition { from, to, input, reason, at: Timestamp::from_micros(1_800_000_000_123_457) }
}

/// A row of `booking_history`.
type Seen = ((i64, i64), [String; 4], Timestamp);

/// What others see of the history of a booking.
async fn seen(tx: &mut Tx, id: BookingId) -> Result<Vec<Seen>, db::Error> {
    let sql = "select version, ordinal, from_status, to_status, input, reason, at
        from booking_history where booking_id = $1 order by version, ordinal";
    let rows = tx.query(sql, &[id.into()]).await?;
    let read = |row: &db::Row| {
        let words = [row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?];
        Ok(((row.get(0)?, row.get(1)?), words, row.get(6)?))
    };
    rows.iter().map(read).collect()
}

fn seen_of(step: &Transition, version: i64, ordinal: i64) -> Seen {
    let words = [step.from.as_str(), step.to.as_str(), step.input.as_str(), &step.reason];
    ((version, ordinal), words.map(str::to_owned), step.at)
}

#[tokio::test]
async fn a_booking_s_history_grows_with_its_changes_in_their_order() {
    use Status::{Cancelled, Pending, Reserving, SeatsReserved};
    for db in databases().await {
        let ids = SeededIds::new(6);
        let account = AccountId::new(&ids, NOW);
        let (one, other) = (bare(&ids, account, "k1"), bare(&ids, account, "k2"));
        let nobody = BookingId::from_uuid(ids.uuid(NOW));
        let check = db.db.write(move |tx| {
            let (mut one, other) = (one.clone(), other.clone());
            Box::pin(async move {
                let reason = "\"},{ Ha'mlet \u{1F3AD}";
                let all = [
                    a_step(Input::ReserveSeats, (Pending, Reserving), ""),
                    a_step(Input::SeatsReserved, (Reserving, SeatsReserved), ""),
                    a_step(Input::Cancel, (SeatsReserved, Cancelled), reason),
                ];
                let opened = [change_to(&one, &all[..1]), change_to(&other, &[])];
                insert_all(tx, opened.iter()).await?;
                assert_eq!(history(tx, one.id).await?, all[..1]);
                assert!(history(tx, other.id).await?.is_empty());
                assert!(history(tx, nobody).await?.is_empty());

                (one.version, one.cursor.due_at) = (2, Some(NOW));
                let taken: Vec<_> = steps(&change_to(&one, &all[1..])).collect();
                save_all(tx, [(&one, &*taken), (&other, &[])].into_iter()).await?;
                save(tx, &[one.clone(), other.clone()]).await?;
                let until = Timestamp::from_seconds(1_800_000_060);
                assert_eq!(take_due(tx, NOW, until, 2).await?.len(), 1);
                assert_eq!(history(tx, one.id).await?, all);
                let places = [(1, 0), (2, 0), (2, 1)].into_iter();
                let expected = places.zip(&all).map(|((v, n), step)| seen_of(step, v, n));
                assert_eq!(seen(tx, one.id).await?, expected.collect::<Vec<_>>());
                assert!(seen(tx, other.id).await?.is_empty());
                Ok::<_, db::Error>(())
            })
        });
        check.await.unwrap_or_else(|error| panic!("{}: {error}", db.engine()));
    }
}

/// Writes a booking and its steps as the first schema had them.
async fn put_old(tx: &mut Tx, booking: &Booking, taken: &[Transition]) -> Result<(), db::Error> {
    let mut row = stored::opening(booking);
    row.truncate(7);
    row.extend(stored::changes(booking, true).into_iter().skip(1));
    row.insert(19, booking.created_at.into());
    let sql = "insert into bookings values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
        $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30)";
    tx.execute(sql, &row).await?;
    for (ordinal, step) in (0_i64..).zip(taken) {
        let (id, version) = (booking.id.into(), booking.version.into());
        let words = [step.from.as_str(), step.to.as_str(), step.input.as_str(), &step.reason];
        let [from, to, input, reason] = words.map(db::Value::from);
        tx.execute(
            "insert into booking_history values ($1, $2, $3, $4, $5, $6, $7, $8)",
            &[id, version, ordinal.into(), from, to, input, reason, step.at.into()],
        )
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn bookings_from_before_keep_their_keys_and_histories() {
    const BEFORE: db::Migrations = db::Migrations {
        owner: crate::NAME,
        postgres: crate::MIGRATIONS.postgres.split_at(1).0,
        sqlite: crate::MIGRATIONS.sqlite.split_at(1).0,
    };
    for db in testkit::databases(&[&platform::MIGRATIONS, &BEFORE]).await {
        let ids = Arc::new(SeededIds::new(5));
        let account = AccountId::new(&ids, NOW);
        let all: Vec<_> = (0..3).map(|at| full(&ids, account, &format!("k{at}"))).collect();
        let step = |n: usize| {
            let moved = (Status::Pending, Status::Failed);
            a_step(Input::Cancel, moved, &format!("\"{n}\u{1F3AD}"))
        };
        // Enough of them that an order of words would be another.
        let taken: Vec<Vec<_>> = [12, 2, 0].map(|count| (0..count).map(step).collect()).into();
        let (old, steps) = (all.clone(), taken.clone());
        let written = db.db.write(move |tx| {
            let (old, steps) = (old.clone(), steps.clone());
            Box::pin(async move {
                for (booking, steps) in old.iter().zip(&steps) {
                    put_old(tx, booking, steps).await?;
                }
                Ok::<_, db::Error>(())
            })
        });
        written.await.unwrap();
        db.db.migrate(&[&platform::MIGRATIONS, &crate::MIGRATIONS]).await.unwrap();
        let check = db.db.write(move |tx| {
            let (all, twin, taken) = (all.clone(), bare(&ids, account, "k1"), taken.clone());
            Box::pin(async move {
                assert!(keys::claim_all(tx, &[Claim::Booking(&twin)]).await?.is_empty());
                for (booking, steps) in all.iter().zip(&taken) {
                    assert_eq!(load(tx, booking.id).await?.as_ref(), Some(booking));
                    let found = keys::find_all(tx, std::iter::once((account, &booking.key)));
                    let answers: Vec<_> = found.await?.into_values().collect();
                    assert_eq!(answers, [Answer::Booking(booking.id)]);
                    assert_eq!(history(tx, booking.id).await?, *steps);
                    let places = (0..).zip(steps).map(|(n, step)| seen_of(step, 1, n));
                    assert_eq!(seen(tx, booking.id).await?, places.collect::<Vec<_>>());
                }
                assert_eq!(list(tx, account, None, 9).await?.len(), 3);
                Ok::<_, db::Error>(())
            })
        });
        check.await.unwrap_or_else(|error| panic!("{}: {error}", db.engine()));
    }
}
