//! Delivers mails that are due, and removes those that are old.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use crate::{
    app::App,
    domain::{Mail, Next, after_failure},
    error::Error,
    store,
};

/// Takes due mails and hands them to the provider; answers whether there may be more.
pub(crate) async fn deliver_mails(app: &App) -> Result<bool, Error> {
    let now = app.clock.now();
    let lease = now.plus(Duration::from_secs(app.config.lease_seconds));
    let limit = app.config.batch;
    let mails = app
        .db
        .write(move |tx| {
            Box::pin(async move { Ok::<_, Error>(store::take_due(tx, now, lease, limit).await?) })
        })
        .await?;
    let more = mails.len() == limit as usize;
    let delivered = join_all(mails.into_iter().map(|mail| deliver(app, mail))).await;
    delivered.into_iter().collect::<Result<(), _>>().map(|()| more)
}

async fn deliver(app: &App, mail: Mail) -> Result<(), Error> {
    // Whoever takes the mail over when its lease ends must be the only one at it.
    let limit = Duration::from_secs(app.config.lease_seconds) * 3 / 4;
    let outcome = timeout(limit, app.provider.deliver(&mail)).await;
    let outcome = outcome.unwrap_or_else(|_| Err("the provider took too long".to_owned()));
    let now = app.clock.now();
    let (id, attempts) = (mail.id, mail.attempts);
    let Err(error) = outcome else {
        app.counts.sent.inc();
        return app
            .db
            .write(move |tx| {
                Box::pin(
                    async move { Ok(store::mark_sent(tx, id, attempts, now).await.map(drop)?) },
                )
            })
            .await;
    };
    app.counts.failed_tries.inc();
    let first_wait = Duration::from_secs(app.config.retry_seconds);
    let next_at = match after_failure(attempts, app.config.max_attempts, first_wait) {
        Next::Retry(wait) => Some(now.plus(wait)),
        Next::GiveUp => {
            app.counts.given_up.inc();
            tracing::warn!(mail = %id, attempts, %error, "mail given up");
            None
        }
    };
    app.db
        .write(move |tx| {
            let error = error.clone();
            Box::pin(async move {
                Ok(store::mark_failed(tx, (id, attempts), &error, next_at).await.map(drop)?)
            })
        })
        .await
}

const REMOVED_AT_ONCE: u32 = 500;

/// Removes some old mails; answers whether there may be more.
pub(crate) async fn remove_old_mails(app: &App) -> Result<bool, Error> {
    let kept = Duration::from_secs(app.config.keep_days * 24 * 3_600);
    let before = app.clock.now().minus(kept);
    let removed = app
        .db
        .write(move |tx| {
            Box::pin(async move {
                Ok::<_, Error>(store::remove_old(tx, before, REMOVED_AT_ONCE).await?)
            })
        })
        .await?;
    Ok(removed == u64::from(REMOVED_AT_ONCE))
}
