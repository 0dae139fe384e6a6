//! What became of a ticket: in its own row, and as rows for whoever reads them by SQL.

use db::{Db, Migrations};
use kernel::TicketId;

use super::*;

/// A row of `ticket_transitions`.
type Seen = (i64, [String; 3], Timestamp);

async fn seen(db: &Db, id: TicketId) -> Vec<Seen> {
    let found = db.read(move |tx| {
        Box::pin(async move {
            let sql = "select ordinal, status, reason, actor, at from ticket_transitions
                where ticket_id = $1 order by ordinal";
            let rows = tx.query(sql, &[id.into()]).await?;
            let read = |row: &db::Row| {
                Ok((row.get(0)?, [row.get(1)?, row.get(2)?, row.get(3)?], row.get(4)?))
            };
            rows.iter().map(read).collect::<Result<Vec<_>, db::Error>>()
        })
    });
    found.await.unwrap()
}

fn step(ordinal: i64, words: [&str; 3], at: Timestamp) -> Seen {
    (ordinal, words.map(str::to_owned), at)
}

#[tokio::test]
async fn a_ticket_s_history_says_what_it_became_why_by_whom_and_when() {
    for house in theatres().await {
        house.clock.advance(Duration::from_micros(1_234_567));
        let begun = now(&house);
        let (one, two) = (
            house.hold(seats(&["B/1"])).await.unwrap().hold.hold_id,
            house.hold(seats(&["B/2", "B/3"])).await.unwrap().hold.hold_id,
        );
        let used = house.issue(one).await.unwrap().remove(0);
        let cancelled = house.issue(two).await.unwrap();
        house.clock.advance(Duration::from_secs(60));
        let code = used.code.clone();
        let command = || {
            let (code, gate) = (code.clone(), "\"north\" \u{1F3AD}".into());
            ops::UseTicket { code, event_id: EVENT, gate }
        };
        ops::use_ticket(&house.app, &staff(), command()).await.unwrap();
        ops::use_ticket(&house.app, &staff(), command()).await.unwrap_err();
        for count in [2, 0] {
            assert_eq!(house.cancel(booking_of(two)).await.unwrap(), count);
        }

        let issued = step(0, ["issued", "BKG1", "booking"], begun);
        let who = Uuid::from_u128(9).to_string();
        let let_in = step(1, ["used", "\"north\" \u{1F3AD}", &who], now(&house));
        assert_eq!(seen(&house.db.db, used.ticket_id).await, [issued.clone(), let_in]);
        let over = step(1, ["cancelled", "changed my mind", "booking"], now(&house));
        for ticket in cancelled {
            let found = seen(&house.db.db, ticket.ticket_id).await;
            assert_eq!(found, [issued.clone(), over.clone()]);
        }
    }
}

/// A ticket and a step of it, as they were before a ticket had its history.
const OLD: [&str; 2] = [
    "insert into tickets (ticket_id, number, hold_id, booking_id, booking_reference, ordinal,
       event_id, account_id, section, category, wheelchair, price_minor, currency, status, code,
       issued_at)
     values ($1, $2, $1, $1, 'BKG1', 0, $1, $1, 's', 'c', false, 1, 'EUR', 'issued', '', $3)",
    "insert into ticket_transitions values ($1, $2, $3, $4, $5, $6)",
];

#[tokio::test]
async fn tickets_from_before_keep_their_histories() {
    const BEFORE: Migrations = Migrations {
        owner: ticket::NAME,
        postgres: ticket::MIGRATIONS.postgres.split_at(2).0,
        sqlite: ticket::MIGRATIONS.sqlite.split_at(2).0,
    };
    let tickets = [1, 2].map(|n| TicketId::from_uuid(Uuid::from_u128(n)));
    let at = |n: i64| Timestamp::from_micros(1_800_000_000_123_457 + n);
    // Enough of them that an order of words would be another.
    let steps: Vec<Seen> =
        (0..12).map(|n| step(n, ["issued", "a \"why\" \u{1F3AD}", "x"], at(n))).collect();
    for test in testkit::databases(&[&platform::MIGRATIONS, &BEFORE]).await {
        let old = steps.clone();
        let written = test.db.write(move |tx| {
            let old = old.clone();
            Box::pin(async move {
                for id in tickets {
                    tx.execute(OLD[0], &[id.into(), id.to_string().into(), at(0).into()]).await?;
                }
                for (ordinal, [status, reason, actor], at) in &old {
                    let [status, reason, actor] = [status, reason, actor].map(db::Value::from);
                    let (id, ordinal) = (tickets[0].into(), (*ordinal).into());
                    tx.execute(OLD[1], &[id, ordinal, status, reason, actor, (*at).into()]).await?;
                }
                Ok::<_, db::Error>(())
            })
        });
        written.await.unwrap();
        test.db.migrate(&[&platform::MIGRATIONS, &ticket::MIGRATIONS]).await.unwrap();
        assert_eq!(seen(&test.db, tickets[0]).await, steps, "{:?}", test.db.engine());
        assert!(seen(&test.db, tickets[1]).await.is_empty());
    }
}
