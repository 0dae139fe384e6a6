//! What visitors and organizations read: events, lists, plans.

use kernel::{Caller, Code};
use wire::pb::{event::v1 as pb, kernel::v1::Page};

use super::{House, admin, answer, at, buyer, houses, new_event, new_venue, organizer, rival};

/// Publishes an event of that name which starts after so many days.
async fn event(house: &House, venue: &str, name: &str, days: i64) -> String {
    let mut client = house.client(&admin());
    let draft = pb::CreateEventRequest {
        name: name.into(),
        starts_at_us: at(days).micros(),
        ends_at_us: at(days).micros() + 1,
        sale_starts_at_us: 0,
        ..new_event(venue)
    };
    let event_id = client.create_event(draft).await.unwrap().into_inner().event_id;
    let request = pb::PublishEventRequest { event_id: event_id.clone() };
    client.publish_event(request).await.unwrap();
    event_id
}

async fn list(
    house: &House,
    caller: &Caller,
    request: pb::ListEventsRequest,
) -> (Vec<String>, String) {
    let page = house.client(caller).list_events(request).await.unwrap().into_inner();
    (page.events.into_iter().map(|event| event.name).collect(), page.next_cursor)
}

fn asked(limit: u32, cursor: &str) -> pb::ListEventsRequest {
    let page = Some(Page { limit, cursor: cursor.into() });
    pb::ListEventsRequest { page, mine: false, query: String::new() }
}

fn searched(query: &str) -> pb::ListEventsRequest {
    pb::ListEventsRequest { query: query.into(), ..asked(0, "") }
}

#[tokio::test]
async fn the_public_list_goes_by_start_page_by_page_without_drafts_and_what_is_over() {
    for house in houses().await {
        let venue = house.venue().await;
        for (name, days) in [("c", 30), ("a", 10), ("b", 20), ("b too", 20), ("over", 1)] {
            event(&house, &venue, name, days).await;
        }
        house.client(&organizer()).create_event(new_event(&venue)).await.unwrap();
        house.pass(2);
        let nobody = Caller::Anonymous;
        let (first, cursor) = list(&house, &nobody, asked(2, "")).await;
        let (second, cursor) = list(&house, &nobody, asked(2, &cursor)).await;
        assert_eq!(cursor, "");
        let all = [first, second].concat();
        assert_eq!((all.len(), &all[0], &all[3]), (4, &"a".to_owned(), &"c".to_owned()));
        assert!(all.contains(&"b".to_owned()) && all.contains(&"b too".to_owned()), "{all:?}");
    }
}

#[tokio::test]
async fn a_search_finds_words_of_name_and_city_in_any_case() {
    for house in houses().await {
        let venue = house.venue().await;
        event(&house, &venue, "ÖFFENTLICHE Probe 100%", 10).await;
        event(&house, &venue, "Nordlicht_Trio", 20).await;
        let found = async |query: &str| list(&house, &buyer(), searched(query)).await.0;
        assert_eq!(found("öffentliche").await.len(), 1);
        assert_eq!(found("zürich PROBE").await, ["ÖFFENTLICHE Probe 100%"]);
        assert_eq!(found("  ZÜRICH ").await.len(), 2);
        assert_eq!(found("probe trio").await.len(), 0, "every word");
        assert_eq!(found("%").await, ["ÖFFENTLICHE Probe 100%"], "no pattern");
        assert_eq!(found("_").await, ["Nordlicht_Trio"]);
        assert!(found("' or 1=1 --").await.is_empty());
    }
}

#[tokio::test]
async fn mine_are_the_organizations_own_in_any_state() {
    for house in houses().await {
        let venue = house.venue().await;
        event(&house, &venue, "public", 10).await;
        house.client(&organizer()).create_event(new_event(&venue)).await.unwrap();
        let foreign = house.client(&rival()).create_venue(new_venue()).await.unwrap();
        event(&house, &foreign.into_inner().venue_id, "foreign", 5).await;
        let mine = |query: &str| pb::ListEventsRequest { mine: true, ..searched(query) };
        let own = list(&house, &organizer(), mine("")).await.0;
        assert_eq!(own, ["public", "Nordlicht Trio"]);
        assert_eq!(list(&house, &rival(), mine("")).await.0, ["foreign"]);
        assert_eq!(list(&house, &admin(), mine("")).await.0.len(), 3);
        for (caller, code) in
            [(buyer(), Code::Forbidden), (Caller::Anonymous, Code::Unauthenticated)]
        {
            let refused = answer(house.client(&caller).list_events(mine("")).await);
            assert_eq!(refused.unwrap_err().code, code);
        }
    }
}

#[tokio::test]
async fn wrong_pages_and_searches_are_refused() {
    for house in houses().await {
        let wrong = [
            asked(101, ""),
            asked(1, "x"),
            asked(1, "9223372036854775807.018f0000-0000-7000-8000-000000000000"),
            asked(1, "-1.018f0000-0000-7000-8000-000000000000"),
            asked(1, "1."),
            searched(&"x".repeat(201)),
            searched("a\0"),
        ];
        for request in wrong {
            let refused = answer(house.client(&buyer()).list_events(request.clone()).await);
            assert_eq!(refused.unwrap_err().code, Code::Invalid, "{request:?}");
        }
    }
}

#[tokio::test]
async fn the_plan_is_everybodys_once_published() {
    for house in houses().await {
        let event_id = house.draft().await.event_id;
        let request = pb::GetSeatingPlanRequest { event_id: event_id.clone() };
        let plan = async |caller: &Caller| {
            answer(house.client(caller).get_seating_plan(request.clone()).await)
        };
        assert_eq!(plan(&Caller::Anonymous).await.unwrap_err().code, Code::NotFound);
        assert_eq!(plan(&rival()).await.unwrap_err().code, Code::NotFound);
        assert_eq!(plan(&organizer()).await.ok(), new_venue().plan);
        let publish = pb::PublishEventRequest { event_id };
        house.client(&organizer()).publish_event(publish).await.unwrap();
        for caller in [Caller::Anonymous, rival(), organizer()] {
            assert_eq!(plan(&caller).await.ok(), new_venue().plan);
        }
    }
}
