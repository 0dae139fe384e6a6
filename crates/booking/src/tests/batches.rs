//! Writes that meet in one transaction are each decided as if they were alone.

use std::sync::Arc;

use kernel::{AccountId, BookingId, Clock as _, Code, Failure, Ids as _, MessageId};

use super::stage::{Stage, stages};
use crate::{
    Error,
    app::App,
    change::Change,
    desk::{Prepared, Question, Write, Wrote},
    domain::{Booking, Input, RefusedWish, Status},
    store,
};

async fn decide(app: &App, writes: Vec<Write>) -> Result<Vec<Result<Wrote, Error>>, Error> {
    let shared = Arc::new((app.desk.clone(), writes));
    let write = app.db.write(move |tx| {
        let shared = shared.clone();
        Box::pin(async move { shared.0.decide(tx, &shared.1).await })
    });
    write.await
}

fn prepared(stage: &Stage, app: &App, change: Change) -> Arc<Prepared> {
    Arc::new(app.desk.prepare(&stage.as_buyer(), change).unwrap())
}

/// A new booking like `booking`, under `key`.
fn opening(stage: &Stage, app: &App, booking: &Booking, key: &str) -> (BookingId, Write) {
    let now = stage.clock.now();
    let booking = Booking {
        id: BookingId::new(&*stage.ids, now),
        reference: kernel::reference("BKG", &*stage.ids, now),
        key: key.to_owned(),
        state: crate::domain::State::NEW,
        offer: None,
        payment_id: None,
        client_secret: None,
        version: 0,
        cursor: crate::domain::Cursor::default(),
        ..booking.clone()
    };
    let id = booking.id;
    let change = Change::opening(booking, app.desk.lease_until(now)).unwrap();
    (id, Write::Open(prepared(stage, app, change)))
}

fn refusal(stage: &Stage, booking: &Booking, key: &str) -> Arc<RefusedWish> {
    Arc::new(RefusedWish {
        id: BookingId::new(&*stage.ids, stage.clock.now()),
        account_id: booking.account_id,
        key: key.to_owned(),
        event_id: booking.event_id,
        choice: booking.choice.clone(),
        refusal: Failure::new(Code::Conflict, "SOLD_OUT", "no").with("available", 0),
        at: stage.clock.now(),
    })
}

fn question(
    stage: &Stage,
    (id, message): (BookingId, Option<MessageId>),
    decision: impl Fn(&mut Change) -> Result<bool, Error> + Send + Sync + 'static,
) -> Write {
    let (context, decision) = (stage.as_buyer(), Box::new(decision));
    Write::Decide(Question { id, message, context, decision })
}

fn cancels(change: &mut Change) -> Result<bool, Error> {
    change.end(Input::Cancel, "BY_BUYER")?;
    Ok(true)
}

fn declines(change: &mut Change) -> Result<bool, Error> {
    change.step(Input::PaymentDeclined)?;
    Ok(true)
}

#[tokio::test]
async fn each_of_a_mixed_batch_gets_its_own_answer() {
    for stage in stages().await {
        let app = stage.app().await;
        let (a, b) = (stage.open(&app, "a").await.unwrap(), stage.open(&app, "b").await.unwrap());
        let kinds = stage.kinds().await.len();
        let message = MessageId::from_uuid(stage.ids.uuid(stage.clock.now()));
        let (new, open) = opening(&stage, &app, &a, "new");
        let (_, twin) = opening(&stage, &app, &a, "new");
        let (_, known) = opening(&stage, &app, &a, "a");
        let nobody = BookingId::new(&*stage.ids, stage.clock.now());
        let save = |booking: &Booking, input| {
            let mut change = Change::of(booking.clone(), stage.clock.now());
            change.step(input).unwrap();
            Write::Save(prepared(&stage, &app, change))
        };
        let answers = decide(
            &app,
            vec![
                open,
                twin,
                known,
                save(&a, Input::PaymentDeclined),
                save(&a, Input::PaymentAuthorized),
                question(&stage, (b.id, Some(message)), declines),
                question(&stage, (b.id, Some(message)), declines),
                question(&stage, (b.id, None), cancels),
                save(&b, Input::PaymentAuthorized),
                question(&stage, (a.id, None), |_| Err(Error::Busy)),
                question(&stage, (nobody, None), cancels),
                question(&stage, (a.id, None), |_| Ok(false)),
            ],
        );
        let answers = answers.await.unwrap();
        let instead = |at: usize| match &answers[at] {
            Ok(Wrote::Instead(booking)) => Some((booking.id, booking.state.status)),
            _ => None,
        };
        let decided = |at: usize| match &answers[at] {
            Ok(Wrote::Decided(decided)) => {
                Some(decided.as_ref().map(|its| (its.booking.state.status, its.mine)))
            }
            _ => None,
        };
        assert!(matches!(answers[0], Ok(Wrote::Done)));
        assert_eq!(instead(1).map(|its| its.0), Some(new), "the same key in the same batch");
        assert_eq!(instead(2).map(|its| its.0), Some(a.id), "a key of before");
        assert!(matches!(answers[3], Ok(Wrote::Done)));
        assert_eq!(instead(4), Some((a.id, Status::PaymentFailed)), "the other was faster");
        assert_eq!(decided(5), Some(Some((Status::PaymentFailed, false))));
        assert_eq!(decided(6), Some(None), "the same message");
        assert_eq!(decided(7), Some(Some((Status::Cancelled, true))), "it sees what came before");
        assert_eq!(instead(8), Some((b.id, Status::Cancelled)));
        assert!(matches!(answers[9], Err(Error::Busy)));
        assert!(matches!(answers[10], Err(Error::NotFound)));
        assert_eq!(decided(11), Some(Some((Status::PaymentFailed, false))));

        let (a, b) = (stage.load(a.id).await, stage.load(b.id).await);
        assert_eq!((a.state.status, b.state.status), (Status::PaymentFailed, Status::Cancelled));
        assert_eq!(stage.load(new).await.state.status, Status::Reserving);
        let told = stage.kinds().await.split_off(kinds);
        let expected = ["opened", "payment_failed", "payment_failed", "cancelled"]
            .map(|it| format!("booking.{it}"));
        assert_eq!(told, expected, "in the order of the batch, and nothing of the refused");
        let history =
            app.db.read(move |tx| Box::pin(async move { store::history(tx, b.id).await }));
        let steps: Vec<_> = history.await.unwrap().iter().map(|step| step.to).collect();
        assert_eq!(steps[steps.len() - 2..], [Status::PaymentFailed, Status::Cancelled]);
    }
}

#[tokio::test]
async fn a_key_stands_for_the_first_of_its_batch() {
    for stage in stages().await {
        let app = stage.app().await;
        let booking = stage.open(&app, "a").await.unwrap();
        let (no, late) = (refusal(&stage, &booking, "no"), refusal(&stage, &booking, "new"));
        let (_, too_late) = opening(&stage, &app, &booking, "no");
        let (new, open) = opening(&stage, &app, &booking, "new");
        let writes = vec![
            Write::Refuse(no.clone()),
            too_late,
            open,
            Write::Refuse(late),
            Write::Refuse(refusal(&stage, &booking, "a")),
        ];
        let answers = decide(&app, writes).await.unwrap();
        let instead = |at: usize| match &answers[at] {
            Ok(Wrote::Instead(booking)) => Some(booking.id),
            _ => None,
        };
        assert!(matches!(answers[0], Ok(Wrote::Done)));
        assert!(matches!(&answers[1], Ok(Wrote::Refused(known)) if **known == *no));
        assert!(matches!(answers[2], Ok(Wrote::Done)));
        assert_eq!((instead(3), instead(4)), (Some(new), Some(booking.id)));
        assert_eq!(stage.load(new).await.state.status, Status::Reserving);
    }
}

#[tokio::test]
async fn what_is_opened_and_changed_in_one_batch_has_the_history_of_both() {
    for stage in stages().await {
        let app = stage.app().await;
        let booking = stage.open(&app, "a").await.unwrap();
        let (new, open) = opening(&stage, &app, &booking, "new");
        let (declined, cancelled) = ((booking.id, None), (new, None));
        let writes = vec![
            question(&stage, declined, declines),
            open,
            question(&stage, cancelled, cancels),
            question(&stage, declined, declines),
        ];
        let answers = decide(&app, writes).await.unwrap();
        assert!(answers.iter().all(Result::is_ok));
        let histories = app.db.read(move |tx| {
            Box::pin(async move {
                let new = store::history(tx, new).await?;
                Ok::<_, Error>((new, store::history(tx, booking.id).await?))
            })
        });
        let (new, old) = histories.await.unwrap();
        let to: Vec<_> = new.iter().map(|step| step.to).collect();
        assert_eq!(to, [Status::Reserving, Status::Cancelled]);
        let to: Vec<_> = old.iter().map(|step| step.to).collect();
        assert_eq!(to[to.len() - 2..], [Status::PaymentFailed, Status::PaymentFailed]);
    }
}

#[tokio::test]
async fn a_refused_message_is_not_remembered_and_fails_nobody_else() {
    for stage in stages().await {
        let app = stage.app().await;
        let booking = stage.open(&app, "a").await.unwrap();
        let message = MessageId::from_uuid(stage.ids.uuid(stage.clock.now()));
        let nobody = BookingId::new(&*stage.ids, stage.clock.now());
        let (id, context) = (booking.id, stage.as_buyer());
        let refused = app.decide(&context, (nobody, Some(message)), |_| Ok(true));
        let declined = app.decide(&context, (id, None), declines);
        let (refused, declined) = tokio::join!(refused, declined);
        assert!(matches!(refused, Err(Error::NotFound)));
        assert_eq!(declined.unwrap().unwrap().booking.state.status, Status::PaymentFailed);
        let again = app.decide(&context, (id, Some(message)), cancels).await.unwrap();
        assert!(again.is_some(), "the message was never answered");
        let again = app.decide(&context, (id, Some(message)), cancels).await.unwrap();
        assert!(again.is_none(), "now it was");
    }
}

#[tokio::test]
async fn many_that_meet_are_all_written_once() {
    for stage in stages().await {
        let app = stage.app().await;
        let first = stage.open(&app, "a").await.unwrap();
        let before = app.db.stats().commits;
        let account = AccountId::new(&*stage.ids, stage.clock.now());
        let openings = (0..100).map(|number| {
            let booking = Booking { account_id: account, ..first.clone() };
            // Each key comes twice.
            let (id, write) = opening(&stage, &app, &booking, &format!("k{}", number / 2));
            let app = &app;
            async move { (id, app.writes.call(write).await.unwrap()) }
        });
        let answers = futures_util::future::join_all(openings).await;
        let done = answers.iter().filter(|its| matches!(its.1, Wrote::Done)).count();
        assert_eq!(done, 50);
        let commits = app.db.stats().commits - before;
        assert!(commits < 20, "{commits} transactions for 100 writes");
        let listed = app
            .db
            .read(move |tx| Box::pin(async move { store::list(tx, account, None, 100).await }));
        assert_eq!(listed.await.unwrap().len(), 50);
    }
}
