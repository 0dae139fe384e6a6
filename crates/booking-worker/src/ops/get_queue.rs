//! How an event's queue is doing.

use kernel::EventId;
use platform::kv::Head;

use crate::{app::App, error::Error, store};

/// A queue as anybody may see it.
pub(crate) struct QueueSeen {
    pub(crate) head: Head,
    /// 0 where the event is not in queue mode.
    pub(crate) admissions_per_minute: u32,
}

/// For everybody; reads memory only.
pub(crate) async fn get_queue(app: &App, event: EventId) -> Result<QueueSeen, Error> {
    let line = store::line(&app.queue, event).await?.ok_or(Error::EventNotFound)?;
    let head = app.queue.head(&event.to_string()).await?;
    let admissions_per_minute = if line.queue { line.admissions_per_minute } else { 0 };
    Ok(QueueSeen { head, admissions_per_minute })
}
