//! Selling: quotes, and the status that follows time and seats.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use kernel::{Caller, Code, MessageId, Timestamp};
use platform::bus::{CATALOG_EVENTS, Delivery, Envelope, Handler, TICKET_EVENTS, Urgency};
use wire::{
    Context,
    pb::{event::v1 as pb, ticket::v1::SeatsChanged},
};

use super::{House, answer, at, fields, houses, new_event, organizer};
use crate::{consumers, ops, tasks};

fn asked(event_id: &str) -> pb::QuoteRequest {
    pb::QuoteRequest { event_id: event_id.into() }
}

fn seats(kind: &'static str, event_id: &str, available: i64) -> Delivery {
    let message = SeatsChanged { event_id: event_id.into(), available, ..Default::default() };
    Delivery {
        id: MessageId::from_uuid(uuid::Uuid::from_u128(9)),
        topic: TICKET_EVENTS.into(),
        key: event_id.into(),
        kind: kind.into(),
        source: "ticket".into(),
        at: Timestamp::EPOCH,
        correlation_id: "sale".into(),
        content: serde_json::to_value(message).unwrap().into(),
        attempts: 0,
    }
}

async fn status(house: &House, event_id: &str) -> pb::EventStatus {
    house.get(&Caller::Anonymous, event_id).await.unwrap().status()
}

#[tokio::test]
async fn a_quote_has_prices_and_terms_at_this_moment() {
    for house in houses().await {
        let event = house.published().await;
        let mut client = house.client(&Caller::Anonymous);
        let quote = client.quote(asked(&event.event_id)).await.unwrap().into_inner();
        let price = |category: &str| {
            let price = quote.prices.iter().find(|price| price.category == category).unwrap();
            (price.category_name.clone(), price.unit_price_minor)
        };
        assert_eq!((quote.prices.len(), quote.currency.as_str()), (2, "EUR"));
        assert_eq!(price("standard"), ("STANDARD".to_owned(), 2_500));
        assert_eq!(price("premium"), ("PREMIUM".to_owned(), 4_000));
        assert_eq!((quote.max_per_booking, quote.queue_mode), (10, false));
        assert_eq!((quote.event_name, quote.venue_name), (event.name, event.venue_name));
        assert_eq!(quote.organization_id, event.organization_id);
        assert!(!quote.on_sale);
        for (days, on_sale) in [(10, true), (99, true), (100, false)] {
            house.pass(days);
            let terms = client.quote(asked(&event.event_id)).await.unwrap().into_inner();
            assert_eq!(terms.on_sale, on_sale, "day {days}");
        }
    }
}

#[tokio::test]
async fn quotes_that_make_no_sense_are_refused() {
    for house in houses().await {
        let draft = house.draft().await.event_id;
        let mut client = house.client(&Caller::Anonymous);
        let missing = "018f0000-0000-7000-8000-000000000000";
        for hidden in [draft.as_str(), missing] {
            let refused = answer(client.quote(asked(hidden)).await).unwrap_err();
            assert_eq!(refused.code, Code::NotFound);
        }
        assert_eq!(fields(client.quote(asked("")).await), ["event_id"]);
    }
}

#[tokio::test]
async fn time_moves_events_on_once_however_many_replicas_look() {
    for house in houses().await {
        let mut events = Vec::new();
        for _ in 0..3 {
            events.push(house.published().await.event_id);
        }
        assert!(!ops::advance_events(&house.app).await.unwrap());
        house.pass(10);
        let more = ops::advance_events(&house.app).await.unwrap();
        assert!(more, "a batch of two is full");
        let both = tokio::join!(ops::advance_events(&house.app), ops::advance_events(&house.app));
        assert_eq!((both.0.unwrap(), both.1.unwrap()), (false, false));
        for event in &events {
            assert_eq!(status(&house, event).await, pb::EventStatus::OnSale);
        }
        house.pass(200);
        while ops::advance_events(&house.app).await.unwrap() {}
        for event in &events {
            assert_eq!(status(&house, event).await, pb::EventStatus::Ended);
            let history = house.history(event).await;
            assert_eq!(history, ["draft", "published", "on_sale", "ended"]);
        }
        assert_eq!(house.told().await[3..], ["event.updated"; 6]);
    }
}

#[tokio::test]
async fn the_last_seat_sold_sells_out_and_repeats_end_where_they_began() {
    for house in houses().await {
        let event = house.published().await.event_id;
        house.pass(11);
        let hear = async |kind, available| {
            let delivery = seats(kind, &event, available);
            consumers::seats_changed(&house.app, &delivery).await.unwrap();
            status(&house, &event).await
        };
        assert_eq!(hear("seats.held", 0).await, pb::EventStatus::Published, "nothing sold");
        assert_eq!(hear("seats.sold", 0).await, pb::EventStatus::SoldOut);
        assert_eq!(hear("seats.sold", 0).await, pb::EventStatus::SoldOut);
        let all = ["event.published", "event.updated", "event.sold_out"];
        assert_eq!(house.told().await, all, "a repeat tells nothing");
        assert_eq!(hear("seats.released", 2).await, pb::EventStatus::OnSale);
        assert_eq!(house.told().await[3..], ["event.back_on_sale"]);
        // A crash has the last messages delivered again, in their order.
        hear("seats.sold", 0).await;
        assert_eq!(hear("seats.released", 2).await, pb::EventStatus::OnSale);
        let told = house.texts("select content from boxoffice_outbox", vec![]).await;
        let told: pb::EventAvailabilityChanged = serde_json::from_str(&told[2]).unwrap();
        assert_eq!((told.event_id, told.sold_out), (event.clone(), true));
    }
}

/// A message about two places, of this sequence.
fn numbered(kind: &'static str, event_id: &str, available: i64, sequence: i64) -> Delivery {
    let event_id = event_id.to_owned();
    let places = vec![Default::default(); 2];
    let message = SeatsChanged { event_id, available, places, sequence, ..Default::default() };
    let content = serde_json::to_value(message).unwrap().into();
    Delivery { content, ..seats(kind, "", 0) }
}

#[tokio::test]
async fn an_older_message_changes_nothing_whoever_handles_it_and_when() {
    for house in houses().await {
        let event = house.published().await.event_id;
        let other = house.beside().await;
        house.pass(11);
        let hear = async |app, kind, available, sequence| {
            let delivery = numbered(kind, &event, available, sequence);
            consumers::seats_changed(app, &delivery).await.unwrap();
            // In the database: a replica may know less.
            house.history(&event).await.pop().unwrap()
        };
        let one = &house.app;
        // Both know the event as on sale.
        other.cache.event(event.parse().unwrap()).await.unwrap();
        assert_eq!(hear(one, "seats.sold", 0, 10).await, "sold_out");
        let back = hear(&other, "seats.released", 2, 11).await;
        assert_eq!(back, "on_sale", "though the other was not told that it was sold out");
        let steps = house.history(&event).await;
        // Handled twice, in order, by both at once, and late.
        hear(one, "seats.sold", 0, 10).await;
        hear(one, "seats.released", 2, 11).await;
        tokio::join!(
            hear(one, "seats.sold", 0, 10),
            hear(&other, "seats.sold", 0, 10),
            hear(&other, "seats.released", 2, 11),
        );
        hear(&other, "seats.sold", 0, 10).await;
        assert_eq!(house.history(&event).await, steps, "no step forth and back");
        assert_eq!(hear(&other, "seats.sold", 0, 12).await, "sold_out");
        assert_eq!(hear(one, "seats.released", 2, 11).await, "sold_out");
        // What has no number is believed: so would be any old message without this guard.
        assert_eq!(hear(one, "seats.released", 2, 0).await, "on_sale");
    }
}

#[tokio::test]
async fn what_is_said_of_seats_may_be_foreign_or_wrong() {
    for house in houses().await {
        let draft = house.draft().await.event_id;
        let hear = async |delivery: Delivery| consumers::seats_changed(&house.app, &delivery).await;
        assert_eq!(hear(seats("ticket.used", "x", 0)).await, Ok(()));
        assert_eq!(hear(seats("seats.sold", &draft, 0)).await, Ok(()));
        assert_eq!(hear(seats("seats.sold", "x", 0)).await.unwrap_err().code, Code::Invalid);
        let mut wrong = seats("seats.sold", &draft, 0);
        wrong.content = serde_json::json!({"available": "none"}).into();
        assert_eq!(hear(wrong).await.unwrap_err().code, Code::Invalid);
        assert_eq!(house.history(&draft).await, ["draft"]);
    }
}

#[tokio::test]
async fn the_tasks_hear_of_seats_tell_of_events_and_forget_what_others_changed() {
    for house in houses().await {
        let event = house.published().await.event_id;
        let tracked = platform::Tasks::new();
        let metrics = platform::Metrics::new();
        let period = Duration::from_millis(5);
        tasks::start(&house.app, &house.bus, period, &metrics, &tracked);
        let heard = Arc::<Mutex<Vec<Arc<str>>>>::default();
        let noted = heard.clone();
        let handler: Handler = Arc::new(move |delivery| {
            noted.lock().unwrap().push(delivery.kind);
            Box::pin(async { Ok(()) })
        });
        house.bus.consume(
            ("listener", Urgency::Soon),
            &[CATALOG_EVENTS],
            handler,
            &metrics,
            &tracked,
        );
        house.pass(11);
        let message = SeatsChanged { event_id: event.clone(), available: 0, ..Default::default() };
        let names = (TICKET_EVENTS, "ticket", "seats.sold");
        let context = Context::service("ticket");
        let made = (&*house.app.ids, at(11));
        let sold = Envelope::new(names, &event, &message, &context, made).unwrap();
        house.bus.publish(&[sold]).await.unwrap();
        until(async || status(&house, &event).await == pb::EventStatus::SoldOut).await;
        let sold_out = |kind: &Arc<str>| &**kind == "event.sold_out";
        until(async || heard.lock().unwrap().iter().any(sold_out)).await;
        assert_eq!(tracked.stop(Duration::from_secs(10)).await, 0);
    }
}

#[tokio::test]
async fn a_change_at_another_replica_is_forgotten_here() {
    for house in houses().await {
        let tracked = platform::Tasks::new();
        house.app.cache.clone().follow(&tracked);
        let draft = new_event(&house.venue().await);
        let mut client = house.client(&organizer());
        let event = client.create_event(draft).await.unwrap().into_inner().event_id;
        let publish = pb::PublishEventRequest { event_id: event.clone() };
        client.publish_event(publish).await.unwrap();
        status(&house, &event).await;
        let id: kernel::EventId = event.parse().unwrap();
        let rename = "update events set name = 'Renamed' where id = $1";
        let write = house
            .database
            .db
            .write(move |tx| Box::pin(async move { tx.execute(rename, &[id.into()]).await }));
        write.await.unwrap();
        assert_ne!(house.get(&Caller::Anonymous, &event).await.unwrap().name, "Renamed");
        until(async || {
            house.app.cache.announce(id).await;
            house.get(&Caller::Anonymous, &event).await.unwrap().name == "Renamed"
        })
        .await;
        assert_eq!(tracked.stop(Duration::from_secs(10)).await, 0);
    }
}

/// Waits for what a task of another thread does.
async fn until(holds: impl AsyncFn() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it never came");
}
