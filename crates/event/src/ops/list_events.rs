//! Events in the order of their start: the public ones, or the caller's own in any state.

use kernel::{EventId, Failure, Page, Timestamp};
use wire::Context;

use crate::{
    app::{App, Authority},
    domain::Event,
    error::Error,
    store::{self, After, Whose},
};

/// The longest search, in characters.
const MAX_QUERY: usize = 200;

/// Which events.
pub(crate) struct ListEvents {
    pub(crate) page: Page,
    pub(crate) mine: bool,
    pub(crate) query: String,
}

/// A page of events, and the cursor of the next.
pub(crate) async fn list_events(
    app: &App,
    context: &Context,
    command: &ListEvents,
) -> Result<(Vec<Event>, String), Error> {
    let whose = match command.mine {
        false => Whose::Public(app.clock.now()),
        true => match Authority::of(&context.caller)? {
            Authority::Operator => Whose::All,
            Authority::Organization(own) => Whose::Organization(own),
        },
    };
    let words = words(&command.query)?;
    let after = after(&command.page.cursor)?;
    let limit = command.page.limit;
    let read = app.db.view(move |tx| {
        let words = words.clone();
        Box::pin(async move { store::events(tx, whose, words, after, limit + 1).await })
    });
    let mut events: Vec<Event> = read.await?;
    let more = events.len() > limit as usize;
    events.truncate(limit as usize);
    let next = events.last().filter(|_| more).map(cursor);
    Ok((events, next.unwrap_or_default()))
}

fn words(query: &str) -> Result<Vec<String>, Failure> {
    if query.chars().count() > MAX_QUERY {
        return Err(Failure::invalid("query", format!("at most {MAX_QUERY} characters")));
    }
    if query.chars().any(char::is_control) {
        return Err(Failure::invalid("query", "has control characters"));
    }
    Ok(query.to_lowercase().split_whitespace().map(str::to_owned).collect())
}

fn cursor(event: &Event) -> String {
    format!("{}.{}", event.terms.starts_at.micros(), event.id)
}

fn after(cursor: &str) -> Result<Option<After>, Failure> {
    if cursor.is_empty() {
        return Ok(None);
    }
    let parsed = cursor.split_once('.').and_then(|(at, id)| {
        // Every start is after 1970 and before the year 10000.
        let at = at.parse().ok().filter(|at| (0..253_402_300_800_000_000).contains(at))?;
        Some((Timestamp::from_micros(at), id.parse::<EventId>().ok()?))
    });
    parsed.map(Some).ok_or_else(|| Failure::invalid("page.cursor", "not a cursor of ours"))
}
