//! Reads the tables, and says what does not go together. Shares nothing with the code that it
//! judges but the tables.

use std::collections::{HashMap, HashSet};

use db::{Db, Row, Tx};
use uuid::Uuid;

/// What is in the tables, counted.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// Claims and tickets and counters that do not go together.
    pub(super) wrong: Vec<String>,
    /// Places held, from the counters.
    pub(super) held: i64,
    /// Places sold, from the counters.
    pub(super) sold: i64,
}

type Key = (Uuid, String);

pub(super) async fn audit(db: &Db) -> Books {
    db.read(|tx| Box::pin(read(tx))).await.unwrap()
}

/// Panics with what is wrong, if anything is.
pub(super) async fn check(db: &Db) -> Books {
    let books = audit(db).await;
    assert!(books.wrong.is_empty(), "{:#?}", books.wrong);
    books
}

async fn read(tx: &mut Tx) -> Result<Books, db::Error> {
    let mut books = Books::default();
    let mut counted: HashMap<Key, (i64, i64)> = HashMap::new();
    let holds = tx.query("select hold_id, event_id, status, section, quantity from holds", &[]);
    let mut expected: HashMap<Uuid, (String, i64)> = HashMap::new();
    for row in holds.await? {
        let (status, section): (String, Option<String>) = (row.get(2)?, row.get(3)?);
        let quantity: i64 = row.get(4)?;
        match section {
            Some(section) => {
                let (held, sold) = counted.entry((row.get(1)?, section)).or_default();
                *held += if status == "held" { quantity } else { 0 };
                *sold += if status == "issued" { quantity } else { 0 };
            }
            None => {
                expected.insert(row.get(0)?, (status, quantity));
            }
        }
    }
    let claims = tx.query("select event_id, seat, hold_id, state from claims", &[]).await?;
    read_claims(&claims, &mut counted, &mut expected, &mut books)?;
    for (hold_id, (status, quantity)) in expected {
        if quantity != 0 && (status == "held" || status == "issued") {
            books.wrong.push(format!("hold {hold_id} ({status}) lacks {quantity} claims"));
        }
    }
    let mut left: HashMap<Uuid, i64> = HashMap::new();
    let sections =
        tx.query("select event_id, section, capacity, held, sold from sections", &[]).await?;
    for row in sections {
        let key: Key = (row.get(0)?, row.get(1)?);
        let (capacity, held, sold): (i64, i64, i64) = (row.get(2)?, row.get(3)?, row.get(4)?);
        let found = counted.remove(&key).unwrap_or_default();
        if found != (held, sold) || held + sold > capacity {
            let text = format!("{}: counted {held}+{sold} of {capacity}, is {found:?}", key.1);
            books.wrong.push(text);
        }
        *left.entry(key.0).or_default() += capacity - held - sold;
        books.held += held;
        books.sold += sold;
    }
    for row in tx.query("select event_id, available from tallies", &[]).await? {
        let (event, available): (Uuid, i64) = (row.get(0)?, row.get(1)?);
        if left.get(&event) != Some(&available) {
            books.wrong.push(format!("tally {available}, sections {:?}", left.get(&event)));
        }
    }
    let tickets = tx
        .query("select event_id, seat from tickets where status in ('issued', 'used')", &[])
        .await?;
    read_tickets(&tickets, &claims, &mut books)?;
    Ok(books)
}

fn read_claims(
    claims: &[Row],
    counted: &mut HashMap<Key, (i64, i64)>,
    expected: &mut HashMap<Uuid, (String, i64)>,
    books: &mut Books,
) -> Result<(), db::Error> {
    let mut seen: HashSet<Key> = HashSet::new();
    for row in claims {
        let (event, seat): Key = (row.get(0)?, row.get(1)?);
        let (hold_id, state): (Uuid, String) = (row.get(2)?, row.get(3)?);
        let section = seat.split('/').next().unwrap().to_owned();
        let (held, sold) = counted.entry((event, section)).or_default();
        *held += i64::from(state == "held");
        *sold += i64::from(state == "sold");
        if !seen.insert((event, seat.clone())) {
            books.wrong.push(format!("{seat} is claimed twice"));
        }
        match expected.get_mut(&hold_id) {
            Some((status, left)) => {
                *left -= 1;
                if (status == "held") != (state == "held") || status == "released" {
                    books.wrong.push(format!("{seat} is {state} by a hold that is {status}"));
                }
            }
            None => books.wrong.push(format!("{seat} is claimed by nobody")),
        }
    }
    Ok(())
}

fn read_tickets(tickets: &[Row], claims: &[Row], books: &mut Books) -> Result<(), db::Error> {
    let mut sold: HashSet<Key> = HashSet::new();
    for row in claims {
        if row.get::<String>(3)? == "sold" {
            sold.insert((row.get(0)?, row.get(1)?));
        }
    }
    for row in tickets {
        let Some(seat) = row.get::<Option<String>>(1)? else { continue };
        if !sold.remove(&(row.get(0)?, seat.clone())) {
            books.wrong.push(format!("a ticket for {seat}, which is not sold (once)"));
        }
    }
    if !sold.is_empty() {
        books.wrong.push(format!("sold without a ticket: {sold:?}"));
    }
    if i64::try_from(tickets.len()).unwrap() != books.sold {
        books.wrong.push(format!("{} tickets, {} places sold", tickets.len(), books.sold));
    }
    Ok(())
}
