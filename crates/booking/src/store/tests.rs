//! Every statement on both engines.

use std::sync::Arc;

use kernel::{
    AccountId, BookingId, Choice, Currency, EventId, Failure, Ids as _, Money, OrganizationId,
    PaymentId, Place, SeatRef, Secret, Timestamp,
};
use testkit::{SeededIds, TestDb};

use super::*;
use crate::domain::{Cursor, Line, Offer, PaymentStatus, State, Terms, Undo};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

async fn databases() -> Vec<TestDb> {
    testkit::databases(&[&platform::MIGRATIONS, &crate::MIGRATIONS]).await
}

fn bare(ids: &SeededIds, account_id: AccountId, key: &str) -> Booking {
    Booking {
        id: BookingId::from_uuid(ids.uuid(NOW)),
        reference: kernel::reference("BKG", ids),
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
    let all: Vec<_> = bookings.iter().collect();
    assert_eq!(insert_all(tx, &all).await?.len(), bookings.len());
    save_all(tx, bookings.iter()).await
}

#[tokio::test]
async fn a_booking_is_read_as_it_was_written() {
    for db in databases().await {
        let ids = SeededIds::new(1);
        let account = AccountId::new(&ids, NOW);
        let (first, full) = (bare(&ids, account, "k"), full(&ids, account, "k"));
        let twin = bare(&ids, account, "k");
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
            let (first, twin) = (first.clone(), twin.clone());
            let (saved, other) = (saved.clone(), other.clone());
            Box::pin(async move {
                let new = insert_all(tx, &[&first, &twin, &other]).await?;
                assert_eq!(new, HashSet::from([first.id, other.id]), "the twin's key is known");
                assert!(insert_all(tx, &[&twin]).await?.is_empty());
                save_all(tx, [&first, &other].into_iter()).await?;
                assert_eq!(load(tx, first.id).await?.as_ref(), Some(&first));
                let keys = ["k".to_owned(), "k2".to_owned(), "k3".to_owned()];
                let found = by_keys(tx, keys.iter().map(|key| (account, key))).await?;
                let expected = [&first, &other].map(|it| ((account, it.key.clone()), it.clone()));
                assert_eq!(found, HashMap::from(expected));
                let ids = BTreeSet::from([first.id, twin.id, other.id]);
                let versions = HashMap::from([(first.id, 1), (other.id, 1)]);
                assert_eq!(lock_all(tx, ids.clone()).await?, versions);
                let loaded = load_all(tx, ids).await?;
                assert_eq!(loaded.get(&other.id), Some(&other));
                assert_eq!(loaded.len(), 2);
                save_all(tx, std::iter::once(&saved)).await?;
                assert_eq!(load(tx, first.id).await?.as_ref(), Some(&saved));
                assert_eq!(load(tx, twin.id).await?, None);
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
async fn history_lists_and_dead_letters_keep_their_order() {
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

                let step = |input, to| Transition {
                    from: Status::Pending,
                    to,
                    input,
                    reason: "BECAUSE".to_owned(),
                    at: NOW,
                };
                let steps = [
                    step(Input::ReserveSeats, Status::Reserving),
                    step(Input::Cancel, Status::Cancelled),
                ];
                let change = |booking: &Booking, steps: &[Transition]| {
                    let mut change = Change::of(booking.clone(), NOW);
                    change.transitions = steps.to_vec();
                    change
                };
                let mut notes = Notes::default();
                notes.add(&change(&all[1], &[]));
                notes.add(&change(&all[0], &steps));
                note_all(tx, notes).await?;
                assert_eq!(history(tx, all[0].id).await?, steps);
                assert!(history(tx, all[1].id).await?.is_empty());

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
