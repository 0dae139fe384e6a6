//! The kinds of servers, and what differs between them in how they are run and ended.

/// What a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A PostgreSQL primary.
    Postgres,
    /// A PostgreSQL streaming replica.
    Replica,
    /// A PgBouncer.
    PgBouncer,
    /// A Redis.
    Redis,
    /// A Kafka broker, its own controller.
    Kafka,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Postgres, Self::Replica, Self::PgBouncer, Self::Redis, Self::Kafka];

    /// Its name in messages and directories.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Replica => "replica",
            Self::PgBouncer => "pgbouncer",
            Self::Redis => "redis",
            Self::Kafka => "kafka",
        }
    }

    /// The account it runs as where root starts it.
    pub(crate) const fn account(self) -> &'static str {
        match self {
            Self::Postgres | Self::Replica | Self::PgBouncer => "postgres",
            Self::Redis => "redis",
            Self::Kafka => "kafka",
        }
    }

    /// The signal for an orderly stop that waits for no client.
    pub(crate) const fn stop_signal(self) -> &'static str {
        match self {
            Self::Postgres | Self::Replica => "INT",
            Self::PgBouncer | Self::Redis | Self::Kafka => "TERM",
        }
    }

    /// The signal that ends it at once, with nothing left behind outside its directory.
    pub(crate) const fn end_signal(self) -> &'static str {
        match self {
            Self::Postgres | Self::Replica => "QUIT",
            Self::PgBouncer | Self::Redis | Self::Kafka => "KILL",
        }
    }
}
