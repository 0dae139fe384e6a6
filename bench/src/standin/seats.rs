//! The places of the designs that others use, in PostgreSQL: a row a seat, a row a section, a row
//! a hold, and a row for the outbox. Every statement is a round trip, as it is where an interactive
//! transaction decides; prepared, each on a connection from a pool.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use platform::Tasks;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::{Client, NoTls, Statement, Transaction};
use uuid::Uuid;

use crate::Failure;

const SCHEMA: &str = "
create table sections (
    event_id uuid not null, section text not null, capacity bigint not null, held bigint not null,
    primary key (event_id, section)
) with (fillfactor = 50);
create table seats (
    event_id uuid not null, seat text not null, hold_id uuid,
    primary key (event_id, seat)
) with (fillfactor = 80);
create table holds (
    hold_id uuid primary key, event_id uuid not null, account_id uuid not null,
    places text not null, expires_at timestamptz not null
);
create table outbox (
    position bigint generated always as identity primary key, event text not null
);
";
const CONNECTIONS: usize = 16;

/// Who holds what.
pub(super) struct Seats {
    free: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

struct Connection {
    client: Client,
    statements: Statements,
}

struct Statements {
    seats: [Statement; 2],
    take: Statement,
    section: [Statement; 2],
    admit: Statement,
    hold: Statement,
    outbox: Statement,
}

/// What is wanted of an event.
pub(super) struct Wish<'a> {
    pub(super) event: Uuid,
    pub(super) hold: Uuid,
    pub(super) account: Uuid,
    pub(super) ttl: Duration,
    pub(super) places: Places<'a>,
}

/// Seats by name, or a number of a section.
#[derive(Clone, Copy)]
pub(super) enum Places<'a> {
    Seats(&'a [String]),
    Admissions(&'a str, i64),
}

/// What became of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decided {
    Held,
    SeatTaken,
    SoldOut,
}

impl Statements {
    async fn prepare(on: &Client) -> Result<Self, Failure> {
        // The rows come in one order, so that nobody waits for each other in a circle.
        let seats = "select seat, hold_id from seats where event_id = $1 and seat = any($2)
                     order by seat";
        let section = "select capacity, held from sections where event_id = $1 and section = $2";
        Ok(Self {
            seats: [on.prepare(seats).await?, on.prepare(&format!("{seats} for update")).await?],
            take: on
                .prepare("update seats set hold_id = $3 where event_id = $1 and seat = any($2)")
                .await?,
            section: [
                on.prepare(section).await?,
                on.prepare(&format!("{section} for update")).await?,
            ],
            admit: on
                .prepare(
                    "update sections set held = held + $3 where event_id = $1 and section = $2",
                )
                .await?,
            hold: on
                .prepare(
                    "insert into holds (hold_id, event_id, account_id, places, expires_at)
                     values ($1, $2, $3, $4, now() + $5 * interval '1 second')",
                )
                .await?,
            outbox: on.prepare("insert into outbox (event) values ($1)").await?,
        })
    }
}

impl Seats {
    /// In the empty database at `url`, with connections that are among `tasks`.
    pub(super) async fn open(url: &str, tasks: &Tasks) -> Result<Self, Failure> {
        let mut idle = Vec::new();
        for number in 0..CONNECTIONS {
            let client = connect(url, tasks).await?;
            if number == 0 {
                client.batch_execute(SCHEMA).await?;
            }
            let statements = Statements::prepare(&client).await?;
            idle.push(Connection { client, statements });
        }
        Ok(Self { free: Arc::new(Semaphore::new(CONNECTIONS)), idle: Mutex::new(idle) })
    }

    /// Puts the places of an event on sale.
    pub(super) async fn add(
        &self,
        event: Uuid,
        seats: Vec<String>,
        sections: Vec<(String, i64)>,
    ) -> Result<(), Failure> {
        let (connection, _turn) = self.take().await?;
        let client = &connection.client;
        let add = "insert into seats (event_id, seat) select $1, unnest($2::text[])
                   on conflict do nothing";
        client.execute(add, &[&event, &seats]).await?;
        for (section, capacity) in sections {
            let add = "insert into sections (event_id, section, capacity, held)
                       values ($1, $2, $3, 0) on conflict do nothing";
            client.execute(add, &[&event, &section, &capacity]).await?;
        }
        client.batch_execute("analyze seats; analyze sections").await?;
        self.give_back(connection);
        Ok(())
    }

    /// Decides a wish in a transaction of its own; with row locks, or with whatever keeps others
    /// out meanwhile.
    pub(super) async fn hold(&self, wish: &Wish<'_>, locks_rows: bool) -> Result<Decided, Failure> {
        let (mut connection, _turn) = self.take().await?;
        // Whoever fails loses its connection with what was begun on it.
        let decided = connection.hold(wish, locks_rows).await?;
        self.give_back(connection);
        Ok(decided)
    }

    async fn take(&self) -> Result<(Connection, OwnedSemaphorePermit), Failure> {
        let turn = self.free.clone().acquire_owned().await?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((idle.pop().ok_or("a connection was lost")?, turn))
    }

    fn give_back(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

impl Connection {
    async fn hold(&mut self, wish: &Wish<'_>, locks_rows: bool) -> Result<Decided, Failure> {
        let tx = self.client.transaction().await?;
        let which = usize::from(locks_rows);
        let decided = match wish.places {
            Places::Seats(seats) => self.statements.seats(&tx, wish, (seats, which)).await?,
            Places::Admissions(section, quantity) => {
                self.statements.admissions(&tx, wish, (section, quantity, which)).await?
            }
        };
        if decided != Decided::Held {
            tx.rollback().await?;
            return Ok(decided);
        }
        let places = wish.places.text();
        let ttl = wish.ttl.as_secs_f64();
        let hold: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&wish.hold, &wish.event, &wish.account, &places, &ttl];
        tx.execute(&self.statements.hold, &hold).await?;
        let event = format!(r#"{{"type":"hold.created","hold_id":"{}"}}"#, wish.hold);
        tx.execute(&self.statements.outbox, &[&event]).await?;
        tx.commit().await?;
        Ok(Decided::Held)
    }
}

impl Statements {
    async fn seats(
        &self,
        tx: &Transaction<'_>,
        wish: &Wish<'_>,
        (seats, which): (&[String], usize),
    ) -> Result<Decided, Failure> {
        let statement = self.seats.get(which).ok_or("no such statement")?;
        let rows = tx.query(statement, &[&wish.event, &seats]).await?;
        let mut free = 0;
        for row in &rows {
            free += usize::from(row.try_get::<_, Option<Uuid>>(1)?.is_none());
        }
        if free < seats.len() {
            return Ok(Decided::SeatTaken);
        }
        tx.execute(&self.take, &[&wish.event, &seats, &wish.hold]).await?;
        Ok(Decided::Held)
    }

    async fn admissions(
        &self,
        tx: &Transaction<'_>,
        wish: &Wish<'_>,
        (section, quantity, which): (&str, i64, usize),
    ) -> Result<Decided, Failure> {
        let statement = self.section.get(which).ok_or("no such statement")?;
        let row = tx.query_one(statement, &[&wish.event, &section]).await?;
        if row.try_get::<_, i64>(1)? + quantity > row.try_get::<_, i64>(0)? {
            return Ok(Decided::SoldOut);
        }
        tx.execute(&self.admit, &[&wish.event, &section, &quantity]).await?;
        Ok(Decided::Held)
    }
}

impl Places<'_> {
    fn text(self) -> String {
        match self {
            Self::Seats(seats) => seats.join(","),
            Self::Admissions(section, quantity) => format!("{quantity} of {section}"),
        }
    }
}

async fn connect(url: &str, tasks: &Tasks) -> Result<Client, Failure> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tasks.spawn("postgres", async move {
        // Whoever asks over it learns why.
        let _ended = connection.await;
    });
    Ok(client)
}
