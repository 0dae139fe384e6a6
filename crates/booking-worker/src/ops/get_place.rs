//! The caller's own place.

use kernel::{AccountId, EventId, Timestamp};
use wire::Context;

use crate::{
    app::App,
    domain::{Gate, Line, Outcome, Place, Shut, Standing, position, wait},
    error::Error,
    store,
};

/// A place as its account sees it.
pub(crate) struct PlaceSeen {
    pub(crate) event: EventId,
    pub(crate) account: AccountId,
    pub(crate) place: Place,
    pub(crate) serving: u64,
    pub(crate) position: u64,
    pub(crate) wait_seconds: u64,
    /// With an admission.
    pub(crate) admission_token: Option<String>,
    /// Why nobody is served, while it waits.
    pub(crate) paused: Option<&'static str>,
}

/// The caller's place, or what became of it. Reads memory only: it is asked again and again.
pub(crate) async fn get_place(
    app: &App,
    context: &Context,
    event: EventId,
) -> Result<PlaceSeen, Error> {
    let account = context.caller.account()?;
    let line = store::line(&app.queue, event).await?.ok_or(Error::EventNotFound)?;
    let place = store::place(&app.queue, event, account).await?.ok_or(Error::PlaceNotFound)?;
    seen(app, (event, account), &line, place).await
}

pub(super) async fn seen(
    app: &App,
    (event, account): (EventId, AccountId),
    line: &Line,
    place: Place,
) -> Result<PlaceSeen, Error> {
    let serving = app.queue.head(&event.to_string()).await?.serving;
    let now = app.clock.now();
    let place = as_of(place, now);
    let admission_token = match &place.standing {
        Standing::Served(Outcome::Admitted { expires_at }) => {
            Some(app.admission(event, account, *expires_at))
        }
        _ => None,
    };
    let mut seen = PlaceSeen {
        event,
        account,
        serving,
        position: 0,
        wait_seconds: 0,
        admission_token,
        paused: None,
        place,
    };
    if seen.place.standing == Standing::Waiting {
        let gate = line.gate(now);
        let opens_at = if gate == Gate::Shut(Shut::NotOpen) { line.sale_starts_at } else { now };
        seen.position = position(seen.place.number, serving);
        seen.wait_seconds =
            wait(seen.position, line.admissions_per_minute, opens_at.since(now)).as_secs();
        seen.paused = gate.reason();
    }
    Ok(seen)
}

/// An admission that was not used in time is none any more.
fn as_of(place: Place, now: Timestamp) -> Place {
    match place.standing {
        Standing::Served(Outcome::Admitted { expires_at }) if expires_at <= now => {
            let reason = "ADMISSION_EXPIRED".to_owned();
            Place { standing: Standing::Served(Outcome::Expired { reason }), ..place }
        }
        _ => place,
    }
}
