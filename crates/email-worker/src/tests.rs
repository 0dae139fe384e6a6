//! From event to mail, on both engines.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use kernel::{AccountId, Caller, Failure, MessageId, Page, Timestamp};
use platform::{Metrics, Tasks, bus::Delivery};
use serde_json::{Value, json};
use testkit::{ManualClock, SeededIds, TestDb};
use tokio::sync::Notify;
use uuid::Uuid;
use wire::Context;

use crate::{
    Config, MIGRATIONS,
    app::{self, App},
    consumers,
    domain::{Mail, Pace, Status},
    error::Error,
    ops,
    provider::Provider,
    store::{self, Tried},
    templates::Templates,
};

struct Bench {
    app: Arc<App>,
    clock: Arc<ManualClock>,
    _db: TestDb,
}

async fn benches(provider: Provider) -> Vec<Bench> {
    let databases = testkit::databases(&[&platform::MIGRATIONS, &MIGRATIONS]).await;
    databases.into_iter().map(|db| bench(db, provider.clone())).collect()
}

fn bench(db: TestDb, provider: Provider) -> Bench {
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1_800_000_000)));
    let lease_seconds = if provider == Provider::Silent { 1 } else { 60 };
    let app = App {
        db: db.db.clone(),
        clock: clock.clone(),
        ids: Arc::new(SeededIds::new(1)),
        tasks: Tasks::new(),
        provider,
        templates: Templates::new().unwrap(),
        due: Arc::new(Notify::new()),
        counts: app::Counts::new(&Metrics::new()),
        letters: ops::letters(db.db.clone()),
        pace: Mutex::new(Pace::new(100)),
        config: Config {
            provider: "mailbox:".to_owned(),
            max_attempts: 3,
            retry_seconds: 5,
            batch: 10,
            deliveries_per_second: 100,
            lease_seconds,
            keep_days: 30,
        },
    };
    Bench { app: Arc::new(app), clock, _db: db }
}

fn ada() -> AccountId {
    AccountId::from_uuid(Uuid::from_u128(1))
}

fn event(number: u128, kind: &str, content: Value) -> Delivery {
    Delivery {
        id: MessageId::from_uuid(Uuid::from_u128(number)),
        topic: "".into(),
        key: "".into(),
        kind: kind.into(),
        source: "".into(),
        at: Timestamp::EPOCH,
        correlation_id: "test".into(),
        content: content.into(),
        attempts: 0,
    }
}

impl Bench {
    async fn told(&self, number: u128, kind: &str, content: Value) -> Result<(), Failure> {
        consumers::handler(self.app.clone())(event(number, kind, content)).await
    }

    async fn knows_ada(&self) {
        let account = json!({
            "account_id": ada().to_string(), "email": "ada@example.org", "first_name": "Ada <3",
        });
        self.told(1, "account.registered", account).await.unwrap();
    }

    async fn asked_for_pin(&self, number: u128) -> Result<(), Failure> {
        let pin = json!({
            "account_id": ada().to_string(), "pin": "123456",
            "expires_at_us": 1_800_000_900_000_000_i64,
        });
        self.told(number, "account.verification_requested", pin).await
    }

    /// How many mails are sent, how many PINs among them, and how many are left.
    async fn count(&self) -> (i64, i64, i64) {
        const COUNT: &str = "select
            (select count(*) from mails where status = 'sent'),
            (select count(*) from mails where status = 'sent' and template = 'verification'),
            (select count(*) from mails where due_at is not null)";
        let read = self.app.db.read(|tx| {
            Box::pin(async move {
                let row = tx.query_one(COUNT, &[]).await?;
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
        });
        Result::<_, db::Error>::unwrap(read.await)
    }

    async fn mails(&self) -> Vec<Mail> {
        let page = Page::new(100, "").unwrap();
        let operator = Context::service("test");
        let list = ops::list_mails(&self.app, &operator, None, page).await.unwrap().0;
        let mut whole = Vec::new();
        for mail in list {
            whole.push(ops::get_mail(&self.app, &operator, mail.id).await.unwrap());
        }
        whole
    }
}

fn booking(payment_status: i32) -> Value {
    let place = json!({"section": "stalls", "seat": "stalls/C/12", "category": "first"});
    let line = json!({"category": "first", "category_name": "First", "quantity": 1});
    json!({
        "booking": {
            "booking_id": Uuid::from_u128(5).to_string(), "reference": "BKG123", "lines": [line],
            "account_id": ada().to_string(), "event_name": "The <Tempest>",
            "payment_status": payment_status, "total": {"minor": 4_800, "currency": "EUR"},
        },
        "tickets": [{"number": "TKT1", "place": place, "code": "BX1.abc"}],
        "venue_name": "Quay", "time_zone": "Europe/Berlin",
        "starts_at_us": 1_800_000_000_000_000_i64,
    })
}

fn refused<T>(result: Result<T, Error>) -> String {
    Failure::from(result.err().expect("should be refused")).reason.into_owned()
}

#[tokio::test]
async fn an_event_leads_to_one_mail_however_often_it_comes() {
    for bench in benches(Provider::Mailbox).await {
        let early = bench.asked_for_pin(2).await.unwrap_err();
        assert_eq!(early.code, kernel::Code::Unavailable, "the contact is still on its way");
        bench.knows_ada().await;
        for _ in 0..2 {
            bench.asked_for_pin(2).await.unwrap();
            bench.told(3, "booking.confirmed", booking(5)).await.unwrap();
        }
        let mails = bench.mails().await;
        assert_eq!(mails.len(), 2);
        let tickets = mails.iter().find(|mail| mail.template == "booking_confirmed").unwrap();
        assert_eq!(tickets.subject, "Your ticket for The <Tempest>");
        for part in ["The &lt;Tempest&gt;", "BKG123", "48.00 EUR", "stalls, row C, seat 12", "TKT1"]
        {
            assert!(tickets.html.contains(part), "{part} in {}", tickets.html);
        }
        assert!(tickets.html.contains("Ada &lt;3") && tickets.text.contains("BX1.abc"));
        assert!(!ops::deliver_mails(&bench.app).await.unwrap());
        let all_sent = |mail: &Mail| mail.status == Status::Sent && mail.attempts == 1;
        assert!(bench.mails().await.iter().all(all_sent));
    }
}

#[tokio::test]
async fn each_end_of_a_booking_has_its_mail() {
    for bench in benches(Provider::Mailbox).await {
        bench.knows_ada().await;
        bench.told(2, "booking.cancelled", booking(7)).await.unwrap();
        bench.told(3, "booking.refunded", booking(8)).await.unwrap();
        bench.told(4, "booking.failed", booking(9)).await.unwrap();
        bench.told(5, "booking.failed", booking(2)).await.unwrap();
        bench.told(6, "booking.opened", booking(2)).await.unwrap();
        let mut before_the_offer = booking(2);
        before_the_offer["booking"]["total"].take();
        bench.told(8, "booking.cancelled", before_the_offer).await.unwrap();
        let mut templates: Vec<_> =
            bench.mails().await.into_iter().map(|mail| mail.template).collect();
        templates.sort();
        assert_eq!(templates, ["booking_cancelled", "booking_failed", "booking_refunded"]);
        let nonsense = bench.told(7, "booking.confirmed", json!({"booking": 1})).await;
        assert_eq!(nonsense.unwrap_err().code, kernel::Code::Invalid);
    }
}

#[tokio::test]
async fn mails_of_a_rush_are_paced_and_who_waits_for_a_pin_goes_first() {
    for bench in benches(Provider::Mailbox).await {
        bench.knows_ada().await;
        let many = (0..120).map(|n| bench.told(10 + n, "booking.confirmed", booking(5)));
        for told in futures_util::future::join_all(many).await {
            told.unwrap();
        }
        bench.clock.advance(Duration::from_secs(1));
        bench.asked_for_pin(2).await.unwrap();
        while ops::deliver_mails(&bench.app).await.unwrap() {}
        assert_eq!(bench.count().await, (90, 1, 31), "a second's worth, the PIN among them");
        while ops::deliver_mails(&bench.app).await.unwrap() {}
        assert_eq!(bench.count().await, (90, 1, 31), "and no more in that second");
        let is_sent = |mail: &Mail| mail.status == Status::Sent && mail.template != "verification";
        let sent = bench.mails().await.into_iter().find(is_sent);
        assert!(sent.is_some_and(|mail| mail.letter.is_none() && mail.html.contains("BKG123")));
        bench.clock.advance(Duration::from_secs(1));
        while ops::deliver_mails(&bench.app).await.unwrap() {}
        assert_eq!(bench.count().await, (121, 1, 0), "they catch up");
    }
}

#[tokio::test]
async fn a_mail_that_keeps_failing_waits_for_an_operator() {
    for bench in benches(Provider::Refusing("ada@")).await {
        bench.knows_ada().await;
        bench.asked_for_pin(2).await.unwrap();
        for (attempts, wait) in [(1, 5), (2, 10), (3, 0)] {
            ops::deliver_mails(&bench.app).await.unwrap();
            ops::deliver_mails(&bench.app).await.unwrap();
            assert_eq!(bench.mails().await[0].attempts, attempts);
            bench.clock.advance(Duration::from_secs(wait));
        }
        let mail = bench.mails().await.remove(0);
        assert_eq!((mail.status, mail.last_error.as_str()), (Status::Failed, "refused"));
        let operator = Context::service("test");
        let mail = ops::retry_mail(&bench.app, &operator, mail.id).await.unwrap();
        assert_eq!((mail.status, mail.attempts), (Status::Pending, 0));
        let again = ops::retry_mail(&bench.app, &operator, mail.id).await;
        assert_eq!(refused(again), "MAIL_NOT_FAILED");
    }
}

#[tokio::test]
async fn a_mail_whose_worker_died_is_taken_over_and_its_late_word_does_not_count() {
    for bench in benches(Provider::Mailbox).await {
        bench.knows_ada().await;
        bench.asked_for_pin(2).await.unwrap();
        let now = bench.app.clock.now();
        let take = |now: Timestamp| {
            let lease = now.plus(Duration::from_secs(60));
            bench
                .app
                .db
                .write(move |tx| Box::pin(async move { store::take_due(tx, now, lease, 10).await }))
        };
        let dead = take(now).await.unwrap().remove(0);
        assert!(take(now).await.unwrap().is_empty(), "taken by one");
        let later = now.plus(Duration::from_secs(60));
        let taken_over = take(later).await.unwrap().remove(0);
        assert_eq!((taken_over.id, taken_over.attempts), (dead.id, 2));
        let late = bench.app.db.write(move |tx| {
            let late = [Tried::Sent(dead.clone())];
            Box::pin(async move { store::mark(tx, &late, later).await })
        });
        let late: Result<u64, db::Error> = late.await;
        assert_eq!(late.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_provider_that_never_answers_has_failed_before_the_lease_ends() {
    for bench in benches(Provider::Silent).await {
        bench.knows_ada().await;
        bench.asked_for_pin(2).await.unwrap();
        assert!(!ops::deliver_mails(&bench.app).await.unwrap());
        let mail = bench.mails().await.remove(0);
        assert_eq!((mail.status, mail.attempts), (Status::Pending, 1));
        assert_eq!(mail.last_error, "the provider took too long");
    }
}

#[tokio::test]
async fn mails_are_for_operators_come_in_pages_and_go_when_they_are_old() {
    for bench in benches(Provider::Mailbox).await {
        bench.knows_ada().await;
        for number in 2..5 {
            bench.asked_for_pin(number).await.unwrap();
            bench.clock.advance(Duration::from_millis(10));
            if number == 3 {
                while ops::deliver_mails(&bench.app).await.unwrap() {}
            }
        }
        let buyer = Context::new(
            Caller::Account {
                id: ada(),
                role: kernel::Role::Individual,
                organization: None,
                session: None,
            },
            "test",
        );
        let page = |cursor: &str| Page::new(2, cursor).unwrap();
        assert_eq!(refused(ops::list_mails(&bench.app, &buyer, None, page("")).await), "FORBIDDEN");
        let operator = Context::service("test");
        let to = Some("ada@example.org".to_owned());
        let first = ops::list_mails(&bench.app, &operator, to.clone(), page("")).await.unwrap();
        let second = ops::list_mails(&bench.app, &operator, to, page(&first.1)).await.unwrap();
        assert_eq!((first.0.len(), second.0.len(), second.1.as_str()), (2, 1, ""));
        let all: Vec<_> = first.0.iter().chain(&second.0).collect();
        assert!(all.is_sorted_by(|a, b| a.id > b.id), "newest first, sent or not: {all:?}");
        let other = Some("eve@example.org".to_owned());
        assert!(
            ops::list_mails(&bench.app, &operator, other, page("")).await.unwrap().0.is_empty()
        );
        let nonsense = ops::list_mails(&bench.app, &operator, None, page("x")).await;
        assert_eq!(refused(nonsense), "INVALID_ARGUMENT");

        let count = || bench.app.db.read(|tx| Box::pin(async move { store::waiting(tx).await }));
        assert_eq!(count().await.unwrap(), (1, 0));
        bench.clock.advance(Duration::from_secs(31 * 24 * 3_600));
        ops::remove_old_mails(&bench.app).await.unwrap();
        assert_eq!(count().await.unwrap().0, 1, "what waits is never removed");
        ops::deliver_mails(&bench.app).await.unwrap();
        ops::remove_old_mails(&bench.app).await.unwrap();
        assert!(bench.mails().await.is_empty());
    }
}
