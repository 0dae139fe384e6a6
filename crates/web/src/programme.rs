//! The start page: what is on, soonest first, as a visitor sees it.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use kernel::{Failure, Timestamp};
use minijinja::{Value, context};
use platform::http::{Problem, Query};
use serde::Deserialize;
use wire::pb::{
    event::v1::{Event, EventStatus, ListEventsRequest},
    kernel::v1 as pb,
};

use crate::{
    app::{App, Page, Visitor},
    words,
};

const EVENTS_A_PAGE: u32 = 20;

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    cursor: String,
}

/// `GET /?cursor=`
pub(crate) async fn programme(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    asked: Result<Query<Asked>, Problem>,
) -> Response {
    let page = page(&app, &visitor, asked).await;
    app.answer(&visitor, page)
}

async fn page(
    app: &App,
    visitor: &Visitor,
    asked: Result<Query<Asked>, Problem>,
) -> Result<Page, Failure> {
    let Query(Asked { cursor }) = asked.map_err(|problem| problem.0)?;
    let is_first = cursor.is_empty();
    let page = Some(pb::Page { limit: EVENTS_A_PAGE, cursor });
    let request = ListEventsRequest { page, mine: false, query: String::new() };
    let listed = app.events(visitor).list_events(request).await;
    let listed = listed.map_err(|status| wire::failure(&status))?.into_inner();
    let next = match listed.next_cursor.as_str() {
        "" => String::new(),
        cursor => words::address("/", &[("cursor", cursor)]),
    };
    let months = months(&listed.events, app.clock.now());
    Ok(("programme.html", context!(months => months, is_first => is_first, next => next)))
}

/// The events under the months in which they start.
fn months(events: &[Event], now: Timestamp) -> Value {
    let mut months: Vec<(String, Vec<Value>)> = Vec::new();
    for event in events {
        let month = words::zoned(event.starts_at_us, &event.time_zone).strftime("%B %Y");
        let month = month.to_string();
        match months.last_mut().filter(|(last, _)| *last == month) {
            Some((_, events)) => events.push(card(event, now)),
            None => months.push((month, vec![card(event, now)])),
        }
    }
    let months = months.into_iter();
    months
        .map(|(name, events)| context!(name => name, events => Value::from_iter(events)))
        .collect()
}

fn card(event: &Event, now: Timestamp) -> Value {
    let starts = words::zoned(event.starts_at_us, &event.time_zone);
    let prices: Vec<i64> = event.categories.iter().map(|priced| priced.price_minor).collect();
    let categories = event.categories.iter().map(|priced| {
        let name = if priced.name.is_empty() { &priced.key } else { &priced.name };
        context!(name => name, price => words::amount(priced.price_minor, &event.currency))
    });
    let (mood, badge) = badge(event, now);
    context!(
        id => &event.event_id,
        name => &event.name,
        kind => &event.kind,
        description => &event.description,
        venue => &event.venue_name,
        city => &event.venue_city,
        datetime => starts.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        weekday => starts.strftime("%a").to_string(),
        day => starts.strftime("%-d").to_string(),
        month => starts.strftime("%b").to_string(),
        hours => words::hours(&starts, event.ends_at_us),
        price => words::price(&prices, &event.currency),
        categories => categories.collect::<Value>(),
        mood => mood,
        badge => badge,
    )
}

/// What a buyer has to know first, and which colour it has.
fn badge(event: &Event, now: Timestamp) -> (&'static str, String) {
    let said = |mood, text: &str| (mood, text.to_owned());
    match event.status() {
        EventStatus::Cancelled => return said("bad", "cancelled"),
        EventStatus::Postponed => return said("wait", "postponed"),
        EventStatus::Ended => return said("over", "ended"),
        EventStatus::SoldOut => return said("over", "sold out"),
        EventStatus::Unspecified
        | EventStatus::Draft
        | EventStatus::Published
        | EventStatus::OnSale => {}
    }
    if event.sale_starts_at_us > now.micros() {
        let opens = words::zoned(event.sale_starts_at_us, &event.time_zone);
        return ("wait", format!("on sale from {}", opens.strftime("%-d %b, %H:%M")));
    }
    if (1..=now.micros()).contains(&event.sale_ends_at_us) {
        return said("over", "sale ended");
    }
    match event.queue {
        Some(queue) if queue.enabled => said("wait", "on sale by queue"),
        _ => said("good", "on sale"),
    }
}
