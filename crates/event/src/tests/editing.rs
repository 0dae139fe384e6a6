//! Drafting and changing events.

use kernel::{Caller, Code};
use wire::pb::event::v1 as pb;

use super::{admin, answer, at, buyer, fields, houses, new_event, organization, organizer, rival};

#[tokio::test]
async fn a_draft_has_its_defaults_and_is_only_its_organizations() {
    for house in houses().await {
        let draft = house.draft().await;
        assert_eq!(draft.status(), pb::EventStatus::Draft);
        assert_eq!((draft.version, draft.published_at_us), (1, 0));
        assert_eq!((draft.max_per_booking, draft.currency.as_str()), (10, "EUR"));
        assert_eq!(draft.sale_ends_at_us, draft.starts_at_us);
        assert_eq!(draft.organization_id, organization(1).to_string());
        let venue = (draft.venue_name.as_str(), draft.venue_city.as_str(), draft.capacity);
        assert_eq!(venue, ("Altes Theater", "Zürich", 120));
        assert_eq!(draft.time_zone, "Europe/Zurich");
        for caller in [organizer(), admin()] {
            assert_eq!(house.get(&caller, &draft.event_id).await.unwrap(), draft);
        }
        for caller in [rival(), buyer(), Caller::Anonymous] {
            let refused = house.get(&caller, &draft.event_id).await.unwrap_err();
            assert_eq!(refused.code, Code::NotFound, "{caller:?}");
        }
        assert!(house.told().await.is_empty(), "drafts are nobody else's business");
        assert_eq!(house.history(&draft.event_id).await, ["draft"]);
    }
}

#[tokio::test]
async fn only_the_venues_organization_drafts_there() {
    for house in houses().await {
        let venue = house.venue().await;
        let refused = async |caller: &Caller, request| {
            answer(house.client(caller).create_event(request).await).unwrap_err().code
        };
        assert_eq!(refused(&rival(), new_event(&venue)).await, Code::NotFound);
        assert_eq!(refused(&buyer(), new_event(&venue)).await, Code::Forbidden);
        assert_eq!(refused(&Caller::Anonymous, new_event(&venue)).await, Code::Unauthenticated);
        let nowhere = "018f0000-0000-7000-8000-000000000000";
        assert_eq!(refused(&organizer(), new_event(nowhere)).await, Code::NotFound);
        let made = house.client(&admin()).create_event(new_event(&venue)).await.unwrap();
        assert_eq!(made.into_inner().organization_id, organization(1).to_string());
    }
}

#[tokio::test]
async fn a_wrong_draft_is_refused_with_all_its_faults() {
    for house in houses().await {
        let venue = house.venue().await;
        let mut client = house.client(&organizer());
        let wrong = pb::CreateEventRequest {
            kind: "party".into(),
            currency: "XYZ".into(),
            ..new_event(&venue)
        };
        assert_eq!(fields(client.create_event(wrong).await), ["kind", "currency"]);
        let mut wrong = pb::CreateEventRequest {
            name: String::new(),
            description: "x".repeat(10_001),
            starts_at_us: i64::MIN,
            max_per_booking: u32::MAX,
            queue: Some(pb::QueueMode { enabled: true, ..Default::default() }),
            ..new_event(&venue)
        };
        wrong.categories[0].price_minor = i64::MIN;
        wrong.categories[1].key = "standard".into();
        let expected = [
            "name",
            "description",
            "starts_at",
            "categories[0].price_minor",
            "categories[1].key",
            "max_per_booking",
            "queue.admissions_per_minute",
        ];
        assert_eq!(fields(client.create_event(wrong).await), expected);
        assert_eq!(fields(client.create_event(new_event("")).await), ["venue_id"]);
    }
}

#[tokio::test]
async fn an_edit_names_the_version_it_was_made_from() {
    for house in houses().await {
        let event_id = house.draft().await.event_id;
        let mut client = house.client(&organizer());
        let edit = |name: &str, version| pb::UpdateEventRequest {
            event_id: event_id.clone(),
            name: Some(name.into()),
            version,
            ..Default::default()
        };
        let edited = client.update_event(edit("One", 1)).await.unwrap().into_inner();
        assert_eq!((edited.name.as_str(), edited.version), ("One", 2));
        let stale = answer(client.update_event(edit("Two", 1)).await).unwrap_err();
        assert_eq!((stale.code, &*stale.reason), (Code::Stale, "STALE_VERSION"));
        assert_eq!(stale.metadata["version"], "2");
        let edited = client.update_event(edit("Three", 0)).await.unwrap().into_inner();
        assert_eq!((edited.name.as_str(), edited.version), ("Three", 3));
        assert_eq!(fields(client.update_event(edit("Four", -1)).await), ["version"]);
        let (mut one, mut other) = (client.clone(), client.clone());
        let both = tokio::join!(one.update_event(edit("A", 3)), other.update_event(edit("B", 3)));
        assert!(both.0.is_ok() != both.1.is_ok(), "one of two edits of a version wins: {both:?}");
    }
}

#[tokio::test]
async fn a_wrong_or_foreign_edit_changes_nothing() {
    for house in houses().await {
        let draft = house.draft().await;
        let edit = pb::UpdateEventRequest {
            event_id: draft.event_id.clone(),
            kind: Some("comedy".into()),
            starts_at_us: Some(draft.ends_at_us),
            ..Default::default()
        };
        let mut client = house.client(&organizer());
        assert_eq!(fields(client.update_event(edit.clone()).await), ["ends_at"]);
        let wrong = pb::UpdateEventRequest { kind: Some("x".into()), ..edit.clone() };
        assert_eq!(fields(client.update_event(wrong).await), ["kind"]);
        for (caller, code) in [
            (rival(), Code::NotFound),
            (buyer(), Code::Forbidden),
            (Caller::Anonymous, Code::Unauthenticated),
        ] {
            let refused = answer(house.client(&caller).update_event(edit.clone()).await);
            assert_eq!(refused.unwrap_err().code, code);
        }
        assert_eq!(house.get(&organizer(), &draft.event_id).await.unwrap(), draft);
    }
}

#[tokio::test]
async fn after_publication_words_and_prices_change_and_visitors_see_it_at_once() {
    for house in houses().await {
        let event = house.published().await;
        let seen = house.get(&Caller::Anonymous, &event.event_id).await.unwrap();
        assert_eq!(seen, event, "now it is kept in memory");
        let mut categories = event.categories.clone();
        categories[0].price_minor = 1;
        let edit = pb::UpdateEventRequest {
            event_id: event.event_id.clone(),
            name: Some("Nordlicht Quartett".into()),
            sale_ends_at_us: Some(at(50).micros()),
            categories,
            max_per_booking: Some(4),
            ..Default::default()
        };
        let mut client = house.client(&organizer());
        let edited = client.update_event(edit.clone()).await.unwrap().into_inner();
        let seen = house.get(&Caller::Anonymous, &event.event_id).await.unwrap();
        assert_eq!((&seen, seen.max_per_booking), (&edited, 4));
        client.update_event(edit.clone()).await.unwrap();
        assert_eq!(house.told().await, ["event.published", "event.updated"], "once a change");
        let edit = pb::UpdateEventRequest { starts_at_us: Some(at(99).micros()), ..edit };
        let refused = answer(client.update_event(edit.clone()).await).unwrap_err();
        assert_eq!((refused.code, &*refused.reason), (Code::Conflict, "EVENT_PUBLISHED"));
        assert_eq!(refused.metadata["fields"], "starts_at");
        let refused = answer(house.client(&rival()).update_event(edit).await).unwrap_err();
        assert_eq!(refused.code, Code::Forbidden, "who it belongs to is no secret any more");
    }
}
