//! Follows what event-service says: which events have a queue, how fast it moves, and when.
//!
//! Messages of an event come in order, and are delivered again in order: the last one decides, so
//! that none needs to be remembered.

use kernel::EventId;

use crate::{
    app::App,
    domain::{Line, Sale},
    error::Error,
    store,
};

/// Takes over what a public event is now.
pub(crate) async fn follow_event(app: &App, event: EventId, news: Line) -> Result<(), Error> {
    let line = match store::line(&app.queue, event).await? {
        Some(known) => known.renewed(news),
        None => news,
    };
    keep(app, event, &line).await
}

/// The last place was sold, or one came back.
pub(crate) async fn follow_availability(
    app: &App,
    event: EventId,
    sold_out: bool,
) -> Result<(), Error> {
    let line = store::line(&app.queue, event).await?.ok_or(Error::EventNotFound)?;
    let sale = match (line.sale, sold_out) {
        (Sale::On, true) => Sale::SoldOut,
        (Sale::SoldOut, false) => Sale::On,
        _ => return Ok(()),
    };
    keep(app, event, &Line { sale, ..line }).await
}

async fn keep(app: &App, event: EventId, line: &Line) -> Result<(), Error> {
    store::set_line(&app.queue, event, line).await?;
    if line.queue {
        app.lines.add(event);
    }
    app.due.notify_one();
    Ok(())
}
