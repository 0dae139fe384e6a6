//! Publishing: checked, repeated, refused, stopped half way, raced.

use std::sync::atomic::Ordering;

use kernel::{Caller, Code};
use tonic::Status;
use wire::{Context, pb::event::v1 as pb};

use super::{House, admin, answer, at, buyer, fields, houses, new_venue, organizer, rival};
use crate::inventory;

fn publish(event_id: &str) -> pb::PublishEventRequest {
    pb::PublishEventRequest { event_id: event_id.to_owned() }
}

async fn draft_of(house: &House, event_id: &str) -> crate::domain::Event {
    let id = event_id.parse().unwrap();
    let read = house.app.db.read(move |tx| Box::pin(crate::store::event(tx, id)));
    read.await.unwrap().unwrap()
}

#[tokio::test]
async fn publishing_opens_the_inventory_and_tells_it_once() {
    for house in houses().await {
        let draft = house.draft().await;
        let mut client = house.client(&organizer());
        let published = client.publish_event(publish(&draft.event_id)).await.unwrap().into_inner();
        assert_eq!(published.status(), pb::EventStatus::Published);
        assert_eq!((published.published_at_us, published.version), (at(0).micros(), 2));
        {
            let opened = house.ticket.opened.lock().unwrap();
            let (request, caller) = opened.first().unwrap();
            assert!(caller.is_service("event"), "{caller:?}");
            assert_eq!(request.plan, new_venue().plan);
            assert_eq!(request.organization_id, draft.organization_id);
            assert_eq!((request.max_per_hold, request.ends_at_us), (100, draft.ends_at_us));
        }
        let again = client.publish_event(publish(&draft.event_id)).await.unwrap().into_inner();
        assert_eq!(again, published);
        assert_eq!(house.ticket.ids(), [draft.event_id.as_str()], "it is open already");
        assert_eq!(house.told().await, ["event.published"]);
        assert_eq!(house.history(&draft.event_id).await, ["draft", "published"]);
        let told = house.texts("select content from boxoffice_outbox", vec![]).await;
        let told: pb::EventPublished = serde_json::from_str(&told[0]).unwrap();
        assert_eq!((told.event, told.at_us), (Some(published), at(0).micros()));
    }
}

#[tokio::test]
async fn a_sale_that_is_due_opens_with_the_publication() {
    for house in houses().await {
        let draft = house.draft().await;
        house.pass(20);
        let published = house.client(&admin()).publish_event(publish(&draft.event_id)).await;
        assert_eq!(published.unwrap().into_inner().status(), pb::EventStatus::OnSale);
        assert_eq!(house.told().await, ["event.published"]);
        let history = house.history(&draft.event_id).await;
        assert_eq!(history, ["draft", "published", "on_sale"]);
    }
}

#[tokio::test]
async fn a_draft_that_is_not_ready_is_refused_with_all_reasons_before_anything_is_opened() {
    for house in houses().await {
        let event_id = house.draft().await.event_id;
        let edit = pb::UpdateEventRequest {
            event_id: event_id.clone(),
            categories: vec![pb::PriceCategory {
                key: "vip".into(),
                name: "VIP".into(),
                price_minor: 1,
            }],
            ..Default::default()
        };
        let mut client = house.client(&organizer());
        client.update_event(edit).await.unwrap();
        house.pass(100);
        let refused = client.publish_event(publish(&event_id)).await;
        assert_eq!(wire::failure(refused.as_ref().unwrap_err()).reason, "EVENT_NOT_READY");
        let named = fields(refused);
        assert_eq!(named, ["starts_at", "sale_ends_at", "categories", "categories"]);
        assert!(house.ticket.ids().is_empty() && house.told().await.is_empty());
    }
}

#[tokio::test]
async fn only_its_organization_publishes_a_draft() {
    for house in houses().await {
        let event_id = house.draft().await.event_id;
        for (caller, code) in [
            (rival(), Code::NotFound),
            (buyer(), Code::Forbidden),
            (Caller::Anonymous, Code::Unauthenticated),
        ] {
            let refused = answer(house.client(&caller).publish_event(publish(&event_id)).await);
            assert_eq!(refused.unwrap_err().code, code);
        }
        let refused = house.client(&organizer()).publish_event(publish("x")).await;
        assert_eq!(fields(refused), ["event_id"]);
        let nothing = publish("018f0000-0000-7000-8000-000000000000");
        let refused = answer(house.client(&organizer()).publish_event(nothing).await);
        assert_eq!(refused.unwrap_err().code, Code::NotFound);
        assert!(house.ticket.ids().is_empty());
    }
}

#[tokio::test]
async fn a_refused_inventory_leaves_the_draft_and_the_next_try_goes_on() {
    for house in houses().await {
        let event_id = house.draft().await.event_id;
        let mut client = house.client(&organizer());
        let refusals = [
            (Status::resource_exhausted("later"), Code::Exhausted),
            (Status::invalid_argument("what a plan"), Code::Internal),
        ];
        for (status, code) in refusals {
            *house.ticket.refusal.lock().unwrap() = Some(status);
            let refused = answer(client.publish_event(publish(&event_id)).await).unwrap_err();
            assert_eq!(refused.code, code);
            assert!(!refused.detail.contains("what a plan"), "{refused}");
            let draft = house.get(&organizer(), &event_id).await.unwrap();
            assert_eq!(draft.status(), pb::EventStatus::Draft);
        }
        *house.ticket.refusal.lock().unwrap() = None;
        client.publish_event(publish(&event_id)).await.unwrap();
        assert_eq!(house.told().await, ["event.published"]);
    }
}

#[tokio::test]
async fn a_crash_after_the_inventory_is_opened_is_healed_by_publishing_again() {
    for house in houses().await {
        let event_id = house.draft().await.event_id;
        let draft = draft_of(&house, &event_id).await;
        let venue = draft.venue;
        let read = house.app.db.read(move |tx| Box::pin(crate::store::venue(tx, venue)));
        let plan = read.await.unwrap().unwrap().plan.unwrap();
        let context = Context::new(organizer(), "before the crash");
        inventory::open(&house.app, &context, &draft, &plan).await.unwrap();
        let refused = house.get(&Caller::Anonymous, &event_id).await.unwrap_err();
        assert_eq!(refused.code, Code::NotFound, "half published is not published");

        house.client(&organizer()).publish_event(publish(&event_id)).await.unwrap();
        assert_eq!(house.ticket.ids(), [event_id.clone(), event_id.clone()], "the same again");
        assert!(house.get(&Caller::Anonymous, &event_id).await.is_ok());
        assert_eq!(house.told().await, ["event.published"]);
    }
}

#[tokio::test]
async fn a_draft_edited_while_it_is_published_is_refused() {
    for house in houses().await {
        let event_id = house.draft().await.event_id;
        house.ticket.waits.store(true, Ordering::SeqCst);
        let mut client = house.client(&organizer());
        let mut editor = client.clone();
        let edit = async {
            house.ticket.entered.notified().await;
            let edit = pb::UpdateEventRequest {
                event_id: event_id.clone(),
                ends_at_us: Some(at(102).micros()),
                ..Default::default()
            };
            editor.update_event(edit).await.unwrap();
            house.ticket.waits.store(false, Ordering::SeqCst);
            house.ticket.go.notify_one();
        };
        let (refused, ()) = tokio::join!(client.publish_event(publish(&event_id)), edit);
        assert_eq!(answer(refused).unwrap_err().code, Code::Stale);
        assert!(house.told().await.is_empty());
        let published = client.publish_event(publish(&event_id)).await.unwrap().into_inner();
        assert_eq!(published.ends_at_us, at(102).micros());
    }
}

#[tokio::test]
async fn publishing_at_the_same_time_publishes_once() {
    for house in houses().await {
        let event_id = house.draft().await.event_id;
        let mut clients = [(); 4].map(|()| house.client(&organizer()));
        let [a, b, c, d] = &mut clients;
        let all = tokio::join!(
            a.publish_event(publish(&event_id)),
            b.publish_event(publish(&event_id)),
            c.publish_event(publish(&event_id)),
            d.publish_event(publish(&event_id)),
        );
        for answer in [all.0, all.1, all.2, all.3] {
            assert_eq!(answer.unwrap().into_inner().version, 2);
        }
        assert_eq!(house.told().await, ["event.published"]);
    }
}
