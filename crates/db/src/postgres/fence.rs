//! How far a server is in the cluster's history: what a read on a replica waits for.

use std::time::Duration;

use deadpool_postgres::Object;
use tokio::time::timeout;
use tokio_postgres::{Client, Error as PgError};

use super::{fault, server::Server, text::Text};
use crate::{Error, Row};

/// How long a replica may take to open the gate of a read that follows at once.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);
/// How long a server may take to say how far it is, before its connection is given up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// Whether this is a replica that has replayed up to `$1`.
pub(super) const GUARD: &str = "SELECT coalesce(pg_is_in_recovery()
    AND pg_last_wal_replay_lsn() - '0/0'::pg_lsn >= $1::bigint, false)";
/// Whatever anybody has seen committed is flushed.
const PRIMARY: &str = "SELECT c.system_identifier,
    ('x' || substr(pg_walfile_name(l.lsn), 1, 8))::bit(32)::bigint,
    (l.lsn - '0/0'::pg_lsn)::bigint
    FROM pg_control_system() c, pg_current_wal_flush_lsn() l (lsn)";
/// A replica's control file names a timeline only after its replay has reached it.
const REPLICA: &str = "SELECT c.system_identifier,
    greatest(k.timeline_id, r.min_recovery_end_timeline)::bigint,
    (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint
    FROM pg_control_system() c, pg_control_checkpoint() k, pg_control_recovery() r
    WHERE pg_is_in_recovery()";

/// A point in the history of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Position {
    /// Which cluster.
    system: i64,
    /// Which branch of its history: each promotion begins another.
    timeline: i64,
    /// How many bytes of its log.
    lsn: i64,
}

impl Position {
    /// Whether both are of one history, in which alone positions compare.
    pub(super) fn is_kin(self, other: Self) -> bool {
        (self.system, self.timeline) == (other.system, other.timeline)
    }

    /// How much of the log lies between both.
    pub(super) fn bytes_after(self, earlier: Self) -> u64 {
        self.lsn.saturating_sub(earlier.lsn).max(0).unsigned_abs()
    }

    /// Whether everything up to `other` is here, too.
    pub(super) fn covers(self, other: Self) -> bool {
        self.is_kin(other) && self.lsn >= other.lsn
    }
}

/// Asks [`GUARD`].
pub(super) async fn passed(
    guard: &Text,
    client: &Client,
    fence: Position,
) -> Result<bool, PgError> {
    let rows = guard.query(client, &[fence.lsn.into()]).await?;
    Ok(rows.first().is_some_and(|row| matches!(row.get(0), Ok(true))))
}

/// Up to where the primary's log is flushed.
pub(super) async fn flushed(primary: &Server) -> Result<Position, Error> {
    ask(primary, PRIMARY).await?.ok_or_else(|| Error::Unavailable("no position".to_owned()))
}

/// Up to where a replica has replayed the log; nothing if it is no replica.
pub(super) async fn replayed(replica: &Server) -> Result<Option<Position>, Error> {
    ask(replica, REPLICA).await
}

async fn ask(server: &Server, sql: &'static str) -> Result<Option<Position>, Error> {
    let client = server.connection().await?;
    let rows = async {
        let text = Text::of(sql, &client, &server.session).await?;
        text.query(&client, &[]).await
    };
    match timeout(ANSWER_TIMEOUT, rows).await {
        Ok(rows) => rows.map_err(|error| fault::error(&error))?.first().map(position).transpose(),
        Err(_) => {
            drop(Object::take(client));
            Err(Error::Unavailable("the server does not say how far it is".to_owned()))
        }
    }
}

fn position(row: &Row) -> Result<Position, Error> {
    Ok(Position { system: row.get(0)?, timeline: row.get(1)?, lsn: row.get(2)? })
}
