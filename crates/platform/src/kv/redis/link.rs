//! The one connection of a process for commands: it comes back by itself, waits for nobody longer
//! than it says, and repeats what may be repeated.

use std::{sync::Arc, time::Duration};

use kernel::{Failure, Secret};
use redis::{
    Client, Cmd, ErrorKind, FromRedisValue, IntoConnectionInfo, Pipeline, ProtocolVersion,
    RedisError, RetryMethod, ServerErrorKind, ToRedisArgs,
    aio::{ConnectionManager, ConnectionManagerConfig},
    cmd,
    io::tcp::TcpSettings,
};

/// The longest that an operation takes, with all its repetitions.
const LIMIT: Duration = Duration::from_secs(2);
/// The longest that parts take which can be done without.
const SHORT_LIMIT: Duration = Duration::from_millis(250);
/// The longest that connecting takes.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// How long a connection may leave unacknowledged what was sent, until it counts as lost.
#[cfg(target_os = "linux")]
const SILENCE: Duration = Duration::from_secs(5);
/// The pause before the first repetition; it doubles with each one that follows.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause between repetitions.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// How often the connection is tried before those who wait for it are told.
const CONNECT_RETRIES: usize = 3;
/// How many commands may wait to be written; further callers wait outside.
const BUFFER: usize = 1_024;

/// How long an operation may take, and whether it is repeated when its answer was lost.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    limit: Duration,
    again: bool,
}

/// For what does no more when it is done twice.
pub(super) const AGAIN: Patience = Patience { limit: LIMIT, again: true };
/// For what would, such as claims: repeated only if Redis surely did not begin.
pub(super) const ONCE: Patience = Patience { limit: LIMIT, again: false };
/// For what can be done without.
pub(super) const SHORT: Patience = Patience { limit: SHORT_LIMIT, again: true };

#[derive(Clone)]
pub(super) struct Link(ConnectionManager);

/// A script, sent by its digest; in whole where Redis does not know it.
#[derive(Clone)]
pub(super) struct Script {
    text: &'static str,
    digest: Arc<str>,
}

pub(super) fn client(url: &Secret<String>) -> Result<Client, Failure> {
    // What is wrong is told without the URL, which has a password in it.
    let fault = |error: RedisError| Failure::invalid("kv", error.category());
    let settings = url.expose().as_str().into_connection_info().map_err(fault)?;
    let redis = settings.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let tcp = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(SILENCE);
    Client::open(settings.set_redis_settings(redis).set_tcp_settings(tcp)).map_err(fault)
}

impl Link {
    pub(super) async fn open(client: Client) -> Result<Self, Failure> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_LIMIT))
            .set_response_timeout(Some(LIMIT))
            .set_min_delay(FIRST_PAUSE)
            .set_max_delay(LONGEST_PAUSE)
            .set_number_of_retries(CONNECT_RETRIES)
            .set_pipeline_buffer_size(BUFFER);
        let manager = ConnectionManager::new_with_config(client, config).await;
        Ok(Self(manager.map_err(|error| failure(&error))?))
    }

    /// What Redis answers to a command.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        ask: &Cmd,
        patience: Patience,
    ) -> Result<T, Failure> {
        self.patiently(patience, || async { ask.query_async(&mut self.0.clone()).await }).await
    }

    /// What Redis answers to several commands.
    pub(super) async fn ask_all<T: FromRedisValue>(
        &self,
        ask: &Pipeline,
        patience: Patience,
    ) -> Result<T, Failure> {
        self.patiently(patience, || async { ask.query_async(&mut self.0.clone()).await }).await
    }

    /// What a script answers; `call` is from [`Script::call`].
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        (script, call): (&Script, &Cmd),
        patience: Patience,
    ) -> Result<T, Failure> {
        let run = || async {
            let mut connection = self.0.clone();
            match call.query_async(&mut connection).await {
                // It did not run; after a restart Redis knows no scripts.
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    let mut load = cmd("SCRIPT");
                    load.arg("LOAD").arg(script.text);
                    load.query_async::<()>(&mut connection).await?;
                    call.query_async(&mut connection).await
                }
                answer => answer,
            }
        };
        self.patiently(patience, run).await
    }

    async fn patiently<T, Fut>(
        &self,
        Patience { limit, again }: Patience,
        ask: impl Fn() -> Fut,
    ) -> Result<T, Failure>
    where
        Fut: Future<Output = Result<T, RedisError>>,
    {
        let mut last = None;
        let asking = async {
            let mut pause = FIRST_PAUSE;
            loop {
                match ask().await {
                    Err(error) if (again || never_ran(&error)) && may_pass(&error) => {
                        last = Some(error);
                    }
                    answer => return answer.map_err(|error| failure(&error)),
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        };
        let answer = tokio::time::timeout(limit, asking).await;
        answer.unwrap_or_else(|_| {
            let detail = || format!("redis did not answer within {limit:?}");
            Err(last.as_ref().map_or_else(|| Failure::unavailable(detail()), failure))
        })
    }
}

impl Script {
    pub(super) fn new(text: &'static str) -> Self {
        let digest = redis::Script::new(text).get_hash().into();
        Self { text, digest }
    }

    /// A call of it, to which the arguments are to be added.
    pub(super) fn call<K: ToRedisArgs>(&self, keys: &[K]) -> Cmd {
        let mut call = cmd("EVALSHA");
        call.arg(&*self.digest).arg(keys.len()).arg(keys);
        call
    }
}

/// Whether the same command may succeed in a moment.
fn may_pass(error: &RedisError) -> bool {
    !matches!(error.retry_method(), RetryMethod::NoRetry)
}

/// Whether Redis surely did nothing: nobody took the command, or Redis was still reading its files.
fn never_ran(error: &RedisError) -> bool {
    error.is_connection_refusal() || error.kind() == ErrorKind::Server(ServerErrorKind::BusyLoading)
}

pub(super) fn failure(error: &RedisError) -> Failure {
    match error.kind() {
        ErrorKind::UnexpectedReturnType | ErrorKind::Parse => {
            Failure::internal(format!("redis: {error}"))
        }
        _ => Failure::unavailable(format!("redis: {error}")),
    }
}
