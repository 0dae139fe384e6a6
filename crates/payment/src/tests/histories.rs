//! What became of a payment: in its own row, and as rows for whoever reads them by SQL.

use db::{Db, Migrations};
use kernel::{BookingId, PaymentId, Timestamp};
use uuid::Uuid;

use super::world::on_both;

/// A row of `payment_transitions`.
type Seen = (i64, [String; 3], Timestamp);

async fn seen(db: &Db, id: PaymentId) -> Vec<Seen> {
    let found = db.read(move |tx| {
        Box::pin(async move {
            let sql = "select number, from_state, to_state, cause, at from payment_transitions
                where payment_id = $1 order by number";
            let rows = tx.query(sql, &[id.into()]).await?;
            let read = |row: &db::Row| {
                Ok((row.get(0)?, [row.get(1)?, row.get(2)?, row.get(3)?], row.get(4)?))
            };
            rows.iter().map(read).collect::<Result<Vec<_>, db::Error>>()
        })
    });
    found.await.unwrap()
}

#[tokio::test]
async fn a_history_grows_with_each_status_and_with_nothing_else() {
    on_both(async |w| {
        let opened = w.app.now();
        let payment = w.captured("pm_card_visa").await;
        w.clock.advance(std::time::Duration::from_micros(1_234_567));
        w.refund(payment.id, 2_000, "k").await.unwrap();
        w.webhooks().await;
        let history = seen(&w.database.db, payment.id).await;
        let states: Vec<_> =
            history.iter().map(|(n, [from, to, _], at)| (*n, &**from, &**to, *at)).collect();
        let expected = [
            (0, "", "requires_payment", opened),
            (1, "requires_payment", "authorized", opened),
            (2, "authorized", "captured", opened),
            (3, "captured", "partially_refunded", w.app.now()),
        ];
        assert_eq!(states, expected);
        assert_eq!(history[0].1[2], "create_intent");
        assert!(history.iter().all(|(_, [.., cause], _)| !cause.is_empty()));
        let text = w.texts("select history from payments", Vec::new()).await;
        assert!(text[0].starts_with(",{\"number\":0,\"from\":\"\","), "{}", text[0]);
    })
    .await;
}

/// A payment and a step of it, as the first schema had them.
const OLD: [&str; 2] = [
    "insert into payments (payment_id, booking_id, booking_reference, account_id, amount_minor,
       currency, state, correlation_id, created_at, updated_at)
     values ($1, $2, 'BKG1', $1, 1, 'EUR', 'captured', '', $3, $3)",
    "insert into payment_transitions values ($1, $2, $3, $4, $5, $6)",
];

#[tokio::test]
async fn payments_from_before_keep_their_histories() {
    const BEFORE: Migrations = Migrations {
        owner: crate::NAME,
        postgres: crate::MIGRATIONS.postgres.split_at(2).0,
        sqlite: crate::MIGRATIONS.sqlite.split_at(2).0,
    };
    let payments = [1, 2].map(|n| PaymentId::from_uuid(Uuid::from_u128(n)));
    let step = |number: i64| {
        let words = ["", "captured", "a \"cause\" \u{1F3AD}"].map(str::to_owned);
        (number, words, Timestamp::from_micros(1_800_000_000_123_457 + number))
    };
    // Enough of them that an order of words would be another.
    let steps: Vec<Seen> = (0..12).map(step).collect();
    for test in testkit::databases(&[&platform::MIGRATIONS, &BEFORE]).await {
        let old = steps.clone();
        let written = test.db.write(move |tx| {
            let old = old.clone();
            Box::pin(async move {
                for id in payments {
                    let booking = BookingId::from_uuid(id.uuid());
                    let at = Timestamp::EPOCH;
                    tx.execute(OLD[0], &[id.into(), booking.into(), at.into()]).await?;
                }
                for (number, [from, to, cause], at) in &old {
                    let words = [from.into(), to.into(), cause.into()];
                    let [from, to, cause] = words;
                    let row = [payments[0].into(), (*number).into(), from, to, cause, (*at).into()];
                    tx.execute(OLD[1], &row).await?;
                }
                Ok::<_, db::Error>(())
            })
        });
        written.await.unwrap();
        test.db.migrate(&[&platform::MIGRATIONS, &crate::MIGRATIONS]).await.unwrap();
        assert_eq!(seen(&test.db, payments[0]).await, steps, "{:?}", test.db.engine());
        assert!(seen(&test.db, payments[1]).await.is_empty());
    }
}
