//! Delivers mails that are due, at their pace, and removes those that are old.

use std::{sync::PoisonError, time::Duration};

use futures_util::future::join_all;
use kernel::Failure;
use tokio::time::timeout;

use crate::{
    app::App,
    domain::{Mail, Next, after_failure},
    error::Error,
    store::{self, Tried},
    templates,
};

/// Takes due mails, as many as the pace allows, and hands them to the provider; answers whether
/// there may be more.
pub(crate) async fn deliver_mails(app: &App) -> Result<bool, Error> {
    let now = app.clock.now();
    let room = pace(app, |pace| pace.take(app.config.batch, now));
    let limit = room.count;
    if limit == 0 {
        return Ok(false);
    }
    let lease = now.plus(Duration::from_secs(app.config.lease_seconds));
    let mails = app
        .db
        .write(move |tx| {
            Box::pin(async move { Ok::<_, Error>(store::take_due(tx, now, lease, limit).await?) })
        })
        .await?;
    let taken = u32::try_from(mails.len()).unwrap_or(limit);
    pace(app, |pace| pace.put_back(room.less(taken)));
    if mails.is_empty() {
        return Ok(false);
    }
    let tried = join_all(mails.into_iter().map(|mail| deliver(app, mail))).await;
    let now = app.clock.now();
    app.db
        .write(move |tx| {
            let tried = tried.clone();
            Box::pin(async move { Ok::<_, Error>(store::mark(tx, &tried, now).await?) })
        })
        .await?;
    Ok(taken == limit)
}

/// The pace, to work with for a moment.
pub(super) fn pace<T>(app: &App, with: impl FnOnce(&mut crate::domain::Pace) -> T) -> T {
    with(&mut app.pace.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Renders the mail where that is still to be done.
pub(super) fn rendered(app: &App, mail: Mail) -> Result<Mail, Error> {
    let Some(letter) = &mail.letter else { return Ok(mail) };
    let values = serde_json::from_str(letter).map_err(Failure::internal)?;
    let rendered = app.templates.render(&mail.template, &templates::values(values))?;
    Ok(Mail { html: rendered.html, text: rendered.text, letter: None, ..mail })
}

async fn deliver(app: &App, mail: Mail) -> Tried {
    let (id, attempts) = (mail.id, mail.attempts);
    // Whoever takes the mail over when its lease ends must be the only one at it.
    let limit = Duration::from_secs(app.config.lease_seconds) * 3 / 4;
    let outcome = match rendered(app, mail) {
        Ok(mail) => {
            let outcome = timeout(limit, app.provider.deliver(&mail)).await;
            let outcome = outcome.unwrap_or_else(|_| Err("the provider took too long".to_owned()));
            outcome.map(|()| mail)
        }
        Err(error) => Err(error.to_string()),
    };
    let error = match outcome {
        Ok(mail) => {
            app.counts.sent.inc();
            return Tried::Sent(mail);
        }
        Err(error) => error,
    };
    app.counts.failed_tries.inc();
    let first_wait = Duration::from_secs(app.config.retry_seconds);
    let next_at = match after_failure(attempts, app.config.max_attempts, first_wait) {
        Next::Retry(wait) => Some(app.clock.now().plus(wait)),
        Next::GiveUp => {
            app.counts.given_up.inc();
            tracing::warn!(mail = %id, attempts, %error, "mail given up");
            None
        }
    };
    Tried::Failed { id, attempts, error, next_at }
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
