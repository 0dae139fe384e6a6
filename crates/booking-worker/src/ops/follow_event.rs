//! Follows what event-service says: which events have a queue, how fast it moves, and when.
//!
//! The newest message decides, by the event's version: whatever is delivered again, or late, leads
//! to the same line, so that none needs to be remembered. What a line goes by is read and written
//! under a lock, since messages may be handled by two replicas at once.

use std::time::Duration;

use kernel::{EventId, Failure};

use crate::{app::App, domain::Line, error::Error, store};

/// How long reading and writing what a line goes by may take.
const LOCK: Duration = Duration::from_secs(10);

/// Takes over what a public event is now.
pub(crate) async fn follow_event(app: &App, event: EventId, news: Line) -> Result<(), Error> {
    alone(app, event, async {
        let line = match store::line(&app.queue, event).await? {
            Some(known) => known.renewed(news),
            None => news,
        };
        keep(app, event, &line).await
    })
    .await
}

/// The last place was sold, or one came back.
pub(crate) async fn follow_availability(
    app: &App,
    event: EventId,
    (sold_out, version): (bool, i64),
) -> Result<(), Error> {
    alone(app, event, async {
        let line = store::line(&app.queue, event).await?.ok_or(Error::EventNotFound)?;
        match line.sold(sold_out, version) {
            Some(line) => keep(app, event, &line).await,
            None => Ok(()),
        }
    })
    .await
}

/// Does `work` while no other replica does the like for this event. If one does, the message comes
/// again.
async fn alone(
    app: &App,
    event: EventId,
    work: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    let Some(lock) = app.kv.lock(&format!("booking-worker:{event}:news"), LOCK).await? else {
        return Err(Failure::unavailable("another replica follows this event").into());
    };
    let done = work.await;
    if let Err(failure) = app.kv.unlock(&lock).await {
        tracing::debug!(%event, %failure, "lock not given back");
    }
    done
}

async fn keep(app: &App, event: EventId, line: &Line) -> Result<(), Error> {
    store::set_line(&app.queue, event, line).await?;
    if line.queue {
        app.lines.add(event);
    }
    app.due.notify_one();
    Ok(())
}
