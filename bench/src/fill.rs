//! Tickets sold in the past, written straight into the tables, as going through the service would
//! take minutes: holds that were issued, their claims, tickets and history, counters.

use db::{Db, Error, Sql};
use kernel::{Clock, EventId, SystemClock};

use crate::Failure;

/// Sells the first `count` seats of the event, two a hold. `first_hold` numbers the holds of the
/// database: it is the sum of those made before.
pub(crate) async fn sell(
    db: &Db,
    event_id: &str,
    first_hold: u32,
    count: u32,
) -> Result<(), Failure> {
    let event_id: EventId = event_id.parse()?;
    let now = SystemClock.now();
    let holds = count / 2;
    let sold = db.write(move |tx| {
        Box::pin(async move {
            let many = [event_id.into(), first_hold.into(), holds.into(), now.into()];
            for sql in [HOLDS, CLAIMS, TICKETS] {
                // Not each of them asks for the time.
                tx.execute(sql, &many).await?;
            }
            let few = [event_id.into(), i64::from(count).into()];
            let counted = tx.execute(SECTIONS, &few).await?;
            let tallied = tx.execute(TALLIES, &few).await?;
            if counted != 1 || tallied != 1 {
                return Err(Error::Statement("no such inventory".to_owned()));
            }
            Ok(())
        })
    });
    Ok(sold.await?)
}

const HOLDS: Sql = Sql::split(
    "insert into holds (hold_id, event_id, account_id, fingerprint, seats, quantity, status,
       expires_at, held_at, ended_at, reason)
     select lpad(to_hex($2::bigint + n), 32, '0')::uuid, $1::uuid, $1::uuid,
       'AAAAAAAAAAAAAAAAAAAAAA',
       jsonb_build_array('hall/' || n * 2 / 100 || '/' || n * 2 % 100 + 1,
                         'hall/' || n * 2 / 100 || '/' || n * 2 % 100 + 2),
       2, 'issued', $4::timestamptz, $4::timestamptz, $4::timestamptz, ''
     from generate_series(0, $3::bigint - 1) n",
    "with recursive numbers (n) as (select 0 union all select n + 1 from numbers where n + 1 < $3)
     insert into holds (hold_id, event_id, account_id, fingerprint, seats, quantity, status,
       expires_at, held_at, ended_at, reason)
     select unhex(printf('%032x', $2 + n)), $1, $1, 'AAAAAAAAAAAAAAAAAAAAAA',
       json_array(printf('hall/%d/%d', n * 2 / 100, n * 2 % 100 + 1),
                  printf('hall/%d/%d', n * 2 / 100, n * 2 % 100 + 2)),
       2, 'issued', $4, $4, $4, ''
     from numbers",
);

const CLAIMS: Sql = Sql::split(
    "insert into claims (event_id, seat, hold_id, state)
     select $1::uuid, 'hall/' || n / 100 || '/' || n % 100 + 1,
       lpad(to_hex($2::bigint + n / 2), 32, '0')::uuid, 'sold'
     from generate_series(0, $3::bigint * 2 - 1) n where $4::timestamptz is not null",
    "with recursive numbers (n) as
       (select 0 union all select n + 1 from numbers where n + 1 < $3 * 2)
     insert into claims (event_id, seat, hold_id, state)
     select $1, printf('hall/%d/%d', n / 100, n % 100 + 1), unhex(printf('%032x', $2 + n / 2)),
       'sold'
     from numbers where $4 is not null",
);

const TICKETS: Sql = Sql::split(
    "insert into tickets (ticket_id, number, hold_id, booking_id, booking_reference, ordinal,
       event_id, account_id, section, seat, category, wheelchair, price_minor, currency, status,
       code, issued_at, history)
     select lpad(to_hex($2::bigint * 2 + n), 32, '0')::uuid,
       'TKT' || lpad(($2::bigint * 2 + n)::text, 12, '0'),
       lpad(to_hex($2::bigint + n / 2), 32, '0')::uuid,
       lpad(to_hex($2::bigint + n / 2), 32, '0')::uuid, 'BKG000000000000', n % 2, $1::uuid,
       $1::uuid, 'hall', 'hall/' || n / 100 || '/' || n % 100 + 1, 'normal', false, 5000, 'EUR',
       'issued', repeat('A', 150), $4::timestamptz,
       ',' || json_build_object('ordinal', 0, 'status', 'issued', 'reason', '',
         'actor', 'service:booking',
         'at', (extract(epoch from $4::timestamptz) * 1000000)::bigint)::text
     from generate_series(0, $3::bigint * 2 - 1) n",
    "with recursive numbers (n) as
       (select 0 union all select n + 1 from numbers where n + 1 < $3 * 2)
     insert into tickets (ticket_id, number, hold_id, booking_id, booking_reference, ordinal,
       event_id, account_id, section, seat, category, wheelchair, price_minor, currency, status,
       code, issued_at, history)
     select unhex(printf('%032x', $2 * 2 + n)), printf('TKT%012d', $2 * 2 + n),
       unhex(printf('%032x', $2 + n / 2)), unhex(printf('%032x', $2 + n / 2)), 'BKG000000000000',
       n % 2, $1, $1, 'hall', printf('hall/%d/%d', n / 100, n % 100 + 1), 'normal', 0, 5000, 'EUR',
       'issued', printf('%0150d', 0), $4,
       ',' || json_object('ordinal', 0, 'status', 'issued', 'reason', '',
         'actor', 'service:booking', 'at', $4)
     from numbers",
);

const SECTIONS: &str =
    "update sections set sold = sold + $2 where event_id = $1 and section = 'hall'";

const TALLIES: &str =
    "update tallies set available = available - $2, version = version + 1 where event_id = $1";

#[cfg(test)]
mod tests {
    use crate::{
        house::{COALESCED, House},
        stock,
    };

    #[tokio::test]
    async fn what_was_sold_is_sold_in_the_eyes_of_the_service() {
        let databases = [testkit::sqlite(&[]).await, testkit::postgres(&[]).await];
        for test in databases {
            let logs = tempfile::tempdir().unwrap();
            let house = House::open(test.url(), &logs.path().join("log"), COALESCED).await.unwrap();
            let events = house.open_events(2, &stock::plan(400, 0)).await.unwrap();
            for (event_id, first) in events.iter().zip([0, 100]) {
                super::sell(&house.db, event_id, first, 200).await.unwrap();
            }
            let request = wire::pb::ticket::v1::GetAvailabilityRequest {
                event_id: events[1].clone(),
                counts_only: false,
            };
            let mut client = house.client().unwrap();
            let found = client.get_availability(request).await.unwrap().into_inner();
            let hall = &found.sections[0];
            assert_eq!((hall.sold, hall.held, hall.sold_seats.len()), (200, 0, 200));
            assert!(hall.sold_seats.contains(&"hall/1/100".to_owned()));
            house.close().await.unwrap();
        }
    }
}
