//! Moves events on whose time has come: sales begin, events end.

use std::sync::Arc;

use kernel::Failure;
use wire::Context;

use crate::{
    NAME,
    app::{self, App},
    domain::Change,
    error::Error,
    events, store,
};

/// Moves a batch of due events; `true` if there may be more.
pub(crate) async fn advance_events(app: &Arc<App>) -> Result<bool, Failure> {
    let now = app.clock.now();
    let limit = app.advance_batch;
    let inner = Arc::clone(app);
    let changes: Vec<Change> = app
        .db
        .write(move |tx| {
            let app = Arc::clone(&inner);
            Box::pin(async move {
                let context = Context::service(NAME);
                let mut changes = Vec::new();
                let mut messages = Vec::new();
                for mut event in store::due_events(tx, now, limit).await? {
                    let before = event.version;
                    let steps = event.advance(now)?;
                    store::update_event(tx, &event, before).await?;
                    messages.extend(events::stepped(&app, &context, &event, &steps)?);
                    changes.extend(steps);
                }
                if !changes.is_empty() {
                    let actor = app::actor(&context.caller);
                    store::append_history(tx, &changes, &actor).await?;
                    app.outbox.append(tx, &messages).await?;
                }
                Ok::<_, Error>(changes)
            })
        })
        .await?;
    for change in &changes {
        app.committed(change.event, std::slice::from_ref(change)).await;
    }
    Ok(changes.len() >= limit as usize)
}
