//! Serves whose turn it is, in all lines, as fast as each event wants.

use std::sync::Arc;

use futures_util::future::join;
use kernel::{EventId, Failure, Timestamp};

use super::{book_wish::book_wishes, settle_places::settle_places, tell_head::tell_head};
use crate::{
    app::App,
    domain::{Gate, Line, Outcome, Turn},
    serving::Serving,
    store,
};

/// The most lines that are looked at.
const MAX_LINES: u32 = 10_000;
/// The most places of a line that are served at once.
const MAX_BATCH: u32 = 500;

/// Looks at every line. Each is served in a task of its own, so that none waits for another; one
/// that is still at work is left alone.
pub(crate) async fn serve_lines(app: &Arc<App>) -> Result<bool, Failure> {
    find_lines(app).await?;
    for (event, shared) in app.lines.all() {
        let Ok(mut serving) = shared.try_lock_owned() else { continue };
        let app = app.clone();
        app.tasks.clone().spawn("serve_line", async move {
            if let Err(failure) = serve_line(&app, event, &mut serving).await {
                tracing::warn!(%event, %failure, "line not served");
            }
            if serving.done {
                app.lines.remove(event);
            }
        });
    }
    Ok(false)
}

/// Leaves all lines to other processes, once what is under way is done.
pub(crate) async fn give_up_lines(app: &App) {
    for (event, shared) in app.lines.all() {
        if let Err(failure) = shared.lock().await.give_up(app).await {
            tracing::warn!(%event, %failure, "line not given up");
        }
    }
}

/// Looks after every line that has places, also those that it never heard of.
async fn find_lines(app: &App) -> Result<(), Failure> {
    let lines = app.queue.lines(MAX_LINES).await?;
    for line in &lines {
        match line.parse() {
            Ok(event) => app.lines.add(event),
            Err(_) => tracing::error!(line, "a line is no event's"),
        }
    }
    app.counts.lines.set(i64::try_from(lines.len()).unwrap_or(i64::MAX));
    Ok(())
}

async fn serve_line(app: &App, event: EventId, serving: &mut Serving) -> Result<(), Failure> {
    let now = app.clock.now();
    if !serving.hold(app, event, now).await? {
        serving.count(app, 0);
        return Ok(());
    }
    let Some(line) = store::line(&app.queue, event).await? else {
        tracing::error!(%event, "a line has places and no settings");
        return Ok(());
    };
    let gate = line.gate(now);
    let head = app.queue.head(&event.to_string()).await?;
    serving.count(app, head.waiting);
    let told = tell_head(app, event, (head, gate), serving).await;
    if head.waiting == 0 {
        if told && (gate == Gate::Over || !line.queue) {
            serving.done = true;
            serving.give_up(app).await?;
        }
        return Ok(());
    }
    let due = match (gate, &mut serving.pace) {
        (Gate::Shut(_), _) | (_, None) => 0,
        (Gate::Open, Some(pace)) => pace.due(line.admissions_per_minute, now).min(MAX_BATCH),
        (Gate::Free | Gate::Over, Some(_)) => MAX_BATCH,
    };
    if due == 0 || !serving.is_held(app.lease(), app.clock.now()) {
        return Ok(());
    }
    if gate == Gate::Over {
        return serving.while_held(app, clear(app, (event, &line))).await;
    }
    let at = app.clock.now();
    let turns = store::claim(&app.queue, event, due, app.lease()).await?;
    if let Some(pace) = serving.pace.as_mut().filter(|_| gate == Gate::Open) {
        pace.spend(turns.len());
    }
    serving.while_held(app, serve(app, (event, &line), (turns, at))).await
}

/// Serves places that were claimed at `now`: those with a wish are booked for, the others admitted.
async fn serve(
    app: &App,
    of: (EventId, &Line),
    (turns, now): (Vec<Turn>, Timestamp),
) -> Result<(), Failure> {
    for turn in turns.iter().filter(|turn| turn.attempts == 0) {
        app.counts.waited_seconds.observe(now.since(turn.joined_at).as_secs_f64());
    }
    let (wishes, others): (Vec<Turn>, _) = turns.into_iter().partition(|turn| turn.wish.is_some());
    let expires_at = now.plus(of.1.admission_ttl);
    let admitted = others.into_iter().map(|turn| (turn, Outcome::Admitted { expires_at }));
    let admitting = settle_places(app, of, admitted.collect());
    let booking = book_wishes(app, of, (wishes, now));
    let (admitted, booked) = join(admitting, booking).await;
    admitted.and(booked)
}

/// Tells all who still wait that their turn will not come.
async fn clear(app: &App, of: (EventId, &Line)) -> Result<(), Failure> {
    loop {
        let turns = store::claim(&app.queue, of.0, MAX_BATCH, app.lease()).await?;
        let more = turns.len() == MAX_BATCH as usize;
        let expired = || Outcome::Expired { reason: "SALE_OVER".to_owned() };
        let expired = turns.into_iter().map(|turn| (turn, expired()));
        settle_places(app, of, expired.collect()).await?;
        if !more {
            return Ok(());
        }
    }
}
