//! Goes on with bookings that are due: left behind by a process that ended, put off after a
//! failure, or out of time.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use wire::Context;

use crate::{Error, NAME, app::App, saga, store};

/// Takes a batch of due bookings and drives each as far as it goes. Answers whether there may be
/// more. Any number of replicas may run it at once: each booking is leased to one of them.
///
/// # Errors
/// If the database fails.
pub(crate) async fn resume_sagas(app: &Arc<App>) -> Result<bool, Error> {
    let now = app.clock.now();
    let (until, limit) = (app.lease_until(now), app.config.resume_batch);
    let due = app
        .db
        .write(move |tx| {
            Box::pin(async move { Ok::<_, Error>(store::take_due(tx, now, until, limit).await?) })
        })
        .await?;
    let more = due.len() == limit as usize;
    let context = Context::service(NAME);
    stream::iter(due)
        .for_each_concurrent(app.config.resume_concurrency, |booking| {
            let context = &context;
            async move {
                let id = booking.id;
                match Box::pin(saga::drive(app, context, booking)).await {
                    Ok(driven) => {
                        if let Some(trouble) = driven.trouble {
                            tracing::warn!(booking = %id, %trouble, "booking set back");
                        }
                    }
                    Err(error) => tracing::error!(booking = %id, %error, "booking not resumed"),
                }
            }
        })
        .await;
    Ok(more)
}
