//! Venues: made, read and listed by whom they belong to.

use kernel::{Caller, Code};
use wire::pb::{event::v1 as pb, kernel::v1::Page};

use super::{admin, answer, buyer, fields, houses, new_venue, organization, organizer, rival};

#[tokio::test]
async fn a_venue_is_read_back_as_it_was_made() {
    for house in houses().await {
        let mut client = house.client(&organizer());
        let made = client.create_venue(new_venue()).await.unwrap().into_inner();
        assert_eq!((made.name.as_str(), made.country.as_str()), ("Altes Theater", "CH"));
        assert_eq!((made.time_zone.as_str(), made.capacity), ("Europe/Zurich", 120));
        assert_eq!(made.organization_id, organization(1).to_string());
        assert_eq!(made.plan, new_venue().plan);
        let request = pb::GetVenueRequest { venue_id: made.venue_id.clone() };
        let read = client.get_venue(request.clone()).await.unwrap().into_inner();
        assert_eq!(read, made);
        let own = house.client(&admin()).get_venue(request.clone()).await;
        assert_eq!(own.unwrap().into_inner(), made);
        let others = answer(house.client(&rival()).get_venue(request.clone()).await);
        assert_eq!(others.unwrap_err().code, Code::NotFound);
        let nobodys = answer(house.client(&Caller::Anonymous).get_venue(request).await);
        assert_eq!(nobodys.unwrap_err().code, Code::Unauthenticated);
    }
}

#[tokio::test]
async fn only_organizations_and_operators_make_venues() {
    for house in houses().await {
        let named = |number: u128| pb::CreateVenueRequest {
            organization_id: organization(number).to_string(),
            ..new_venue()
        };
        let refused = async |caller: &Caller, request| {
            answer(house.client(caller).create_venue(request).await).unwrap_err().code
        };
        assert_eq!(refused(&Caller::Anonymous, new_venue()).await, Code::Unauthenticated);
        assert_eq!(refused(&buyer(), new_venue()).await, Code::Forbidden);
        assert_eq!(refused(&organizer(), named(2)).await, Code::Forbidden);
        assert_eq!(refused(&admin(), new_venue()).await, Code::Invalid);
        for caller in [admin(), Caller::Service("boxoffice".into()), rival()] {
            let made = house.client(&caller).create_venue(named(2)).await.unwrap();
            assert_eq!(made.into_inner().organization_id, organization(2).to_string());
        }
    }
}

#[tokio::test]
async fn a_wrong_venue_is_refused_with_all_its_faults_and_not_kept() {
    for house in houses().await {
        let mut client = house.client(&organizer());
        let mut wrong = new_venue();
        wrong.name = " ".into();
        wrong.country = "Switzerland".into();
        wrong.time_zone = "Mars/Olympus".into();
        wrong.plan.as_mut().unwrap().sections[1].key = "stalls".into();
        let named = fields(client.create_venue(wrong).await);
        assert_eq!(named, ["name", "country", "plan.sections[1].key", "time_zone"]);
        let bare = pb::CreateVenueRequest { plan: None, ..new_venue() };
        assert_eq!(fields(client.create_venue(bare).await), ["plan"]);
        let mut wrong = new_venue();
        wrong.plan.as_mut().unwrap().sections[0].kind = 9;
        assert_eq!(fields(client.create_venue(wrong).await), ["plan.sections[0].kind"]);
        let wrong = pb::CreateVenueRequest { organization_id: "1".into(), ..new_venue() };
        assert_eq!(fields(client.create_venue(wrong).await), ["organization_id"]);
        let zero = pb::CreateVenueRequest { city: "a\0".into(), ..new_venue() };
        assert_eq!(fields(client.create_venue(zero).await), ["city"]);
        let listed = client.list_venues(pb::ListVenuesRequest { page: None }).await.unwrap();
        assert!(listed.into_inner().venues.is_empty());
    }
}

#[tokio::test]
async fn a_plan_of_the_largest_size_is_kept() {
    for house in houses().await {
        let mut request = new_venue();
        let stalls = &mut request.plan.as_mut().unwrap().sections[0];
        let row = pb::Row { wheelchair: vec![], seats: 99, ..stalls.rows[0].clone() };
        stalls.rows = (0..2_000).map(|n| pb::Row { name: n.to_string(), ..row.clone() }).collect();
        let made = house.client(&organizer()).create_venue(request.clone()).await.unwrap();
        assert_eq!((made.get_ref().capacity, &made.get_ref().plan), (198_100, &request.plan));
    }
}

#[tokio::test]
async fn venues_are_listed_page_by_page_for_their_organization() {
    for house in houses().await {
        let mut made = Vec::new();
        for days in 0..3 {
            house.pass(days);
            made.push(house.venue().await);
        }
        house.client(&rival()).create_venue(new_venue()).await.unwrap();
        made.reverse();
        let list = async |caller: &Caller, limit, cursor: &str| {
            let page = Some(Page { limit, cursor: cursor.into() });
            answer(house.client(caller).list_venues(pb::ListVenuesRequest { page }).await)
        };
        let ids = |page: &pb::ListVenuesResponse| {
            page.venues.iter().map(|venue| venue.venue_id.clone()).collect::<Vec<_>>()
        };
        let first = list(&organizer(), 2, "").await.unwrap();
        assert_eq!(ids(&first), made[..2]);
        assert_eq!(first.venues[0].plan, None, "plans are too large for a list");
        let second = list(&organizer(), 2, &first.next_cursor).await.unwrap();
        assert_eq!((ids(&second), second.next_cursor.as_str()), (made[2..].to_vec(), ""));
        assert_eq!(list(&admin(), 0, "").await.unwrap().venues.len(), 4);
        assert_eq!(list(&admin(), 3, "").await.unwrap().venues.len(), 3);
        assert_eq!(list(&buyer(), 0, "").await.unwrap_err().code, Code::Forbidden);
        assert_eq!(list(&organizer(), 101, "").await.unwrap_err().code, Code::Invalid);
        assert_eq!(list(&organizer(), 1, "x' or 1=1").await.unwrap_err().code, Code::Invalid);
    }
}
