//! Places: one each, what their accounts see, and who else does not.

use futures_util::future::join_all;

use super::*;

#[tokio::test]
async fn an_account_has_one_place_however_often_it_comes() {
    let house = ground().await.open().await;
    let id = event(1);
    house.publish(on_sale(id)).await;
    let joins = (0..200).map(|number| house.join(id, number % 50));
    let places: Vec<pb::Place> = join_all(joins).await.into_iter().map(Result::unwrap).collect();
    let mut by_account = BTreeMap::new();
    for place in &places {
        let known = by_account.entry(place.account_id.clone()).or_insert(place.number);
        assert_eq!(*known, place.number);
    }
    let mut numbers: Vec<u64> = by_account.into_values().collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=50).collect::<Vec<_>>());
    assert_eq!(house.queue(id).await.unwrap().last_number, 50);
}

#[tokio::test]
async fn an_admission_names_event_and_account_and_is_one_while_it_is_good() {
    let house = ground().await.open().await;
    let id = event(1);
    house.publish(on_sale(id)).await;
    let waiting = house.join(id, 1).await.unwrap();
    assert_eq!((waiting.number, waiting.status()), (1, PlaceStatus::Waiting));
    assert_eq!((waiting.position, &*waiting.admission_token), (1, ""));
    assert_eq!((waiting.joined_at_us, &*waiting.reason), (at(0), ""));
    house.look().await;
    house.pass(1_000).await;

    let place = house.place(id, 1).await.unwrap();
    assert_eq!((place.status(), place.position), (PlaceStatus::Admitted, 0));
    let (content, expires_at) =
        seal().open("admission", &place.admission_token, house.clock.now()).unwrap();
    assert_eq!(content, format!("{id}/{}", account(1)));
    assert_eq!(expires_at.micros(), place.admission_expires_at_us);
    assert_eq!(place.admission_expires_at_us, at(301));
    let (to, kind, payload) = house.realtime.sent.lock().unwrap()[0].clone();
    assert_eq!((to, &*kind), (account(1).to_string(), "booking:admitted"));
    assert_eq!(payload["admission_token"], place.admission_token);
    assert_eq!(payload["event_id"], id.to_string());
    assert_eq!(payload["expires_at"], expires_at.to_string());
    assert_eq!(house.join(id, 1).await.unwrap(), place, "coming again is the same place");
    assert!(!house.leave(id, 1).await.unwrap(), "there is nothing to wait for any more");
    house.sold_out(id, true).await;
    assert_eq!(house.join(id, 1).await.unwrap().admission_token, place.admission_token);

    // Once it is over, the place says so, and the account may wait anew.
    house.clock.advance(Duration::from_secs(300));
    let over = house.place(id, 1).await.unwrap();
    assert_eq!((over.status(), &*over.reason), (PlaceStatus::Expired, "ADMISSION_EXPIRED"));
    assert_eq!(&*over.admission_token, "");
    let again = house.join(id, 1).await.unwrap();
    assert_eq!((again.number, again.status()), (2, PlaceStatus::Waiting));
}

#[tokio::test]
async fn a_place_can_be_given_up_once_and_coming_back_is_at_the_end() {
    let house = ground().await.open().await;
    let id = event(1);
    house.publish(on_sale(id)).await;
    for number in 1..=3 {
        house.join(id, number).await.unwrap();
    }
    assert!(house.leave(id, 2).await.unwrap());
    assert!(!house.leave(id, 2).await.unwrap());
    let missing = (Code::NotFound, "NOT_FOUND".to_owned());
    assert_eq!(refusal(house.place(id, 2).await), missing);
    assert_eq!(house.join(id, 2).await.unwrap().number, 4);
    house.look().await;
    house.pass(2_000).await;
    assert_eq!(house.status(id, 3).await, PlaceStatus::Admitted, "who left is not waited for");
}

#[tokio::test]
async fn a_full_line_takes_nobody_in() {
    let house = ground().await.open().await;
    let id = event(1);
    house.publish(on_sale(id)).await;
    let joins = (0..1_001).map(|number| house.join(id, number));
    let refused: Vec<Failure> = join_all(joins).await.into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!((refused[0].code, &*refused[0].reason), (Code::Exhausted, "QUEUE_FULL"));
}

#[tokio::test]
async fn a_place_is_its_accounts_own_and_only_accounts_have_one() {
    let house = ground().await.open().await;
    let id = event(1);
    house.publish(on_sale(id)).await;
    house.join(id, 1).await.unwrap();
    let missing = (Code::NotFound, "NOT_FOUND".to_owned());
    assert_eq!(refusal(house.place(id, 2).await), missing);
    assert!(!house.leave(id, 2).await.unwrap());
    let unknown = (Code::Unauthenticated, "UNAUTHENTICATED".to_owned());
    let event_id = id.to_string();
    for caller in [Caller::Anonymous, Caller::Service("booking".into())] {
        let mut client = house.client(&caller);
        let request = pb::JoinQueueRequest { event_id: event_id.clone(), wish: None };
        assert_eq!(refusal(answer(client.join_queue(request).await)), unknown);
        let request = pb::GetPlaceRequest { event_id: event_id.clone() };
        assert_eq!(refusal(answer(client.get_place(request).await)), unknown);
        let request = pb::LeaveQueueRequest { event_id: event_id.clone() };
        assert_eq!(refusal(answer(client.leave_queue(request).await)), unknown);
    }
    let queue = house.queue(id).await.unwrap();
    assert_eq!((queue.waiting, queue.last_number, queue.serving), (1, 1, 0));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_its_field() {
    let house = ground().await.open().await;
    let id = event(1);
    house.publish(Event { max_per_booking: 100, ..on_sale(id) }).await;
    let mut client = house.client(&buyer(1));
    for text in ["", "1", "not-an-id", &"x".repeat(100_000)] {
        let event_id = text.to_owned();
        let request = pb::JoinQueueRequest { event_id: event_id.clone(), wish: None };
        let refused = answer(client.join_queue(request).await).unwrap_err();
        assert_eq!((refused.code, &*refused.fields[0].field), (Code::Invalid, "event_id"));
        let request = pb::GetQueueRequest { event_id };
        assert_eq!(refusal(answer(client.get_queue(request).await)).0, Code::Invalid);
    }
    let seats =
        |seats: Vec<String>| Choice { wish: Some(choice::Wish::Seats(choice::Seats { seats })) };
    let best = |quantity| {
        let best = choice::BestAvailable { quantity, ..choice::BestAvailable::default() };
        Choice { wish: Some(choice::Wish::BestAvailable(best)) }
    };
    let long = (0..100).map(|number| format!("{}/A/{number}", "x".repeat(60))).collect();
    let wrong =
        [Choice { wish: None }, best(0), best(101), best(u32::MAX), seats(vec![]), seats(long)];
    for wish in wrong {
        let refused = house.wish(id, 1, Some(wish.clone())).await.unwrap_err();
        assert_eq!(refused.code, Code::Invalid, "{wish:?}: {refused}");
    }
    house.publish(Event { version: 4, ..on_sale(id) }).await;
    let refused = house.wish(id, 1, Some(best(11))).await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::Invalid, "TOO_MANY_PLACES"));
    assert_eq!(house.queue(id).await.unwrap().last_number, 0);
    assert_eq!(house.wish(id, 1, Some(best(10))).await.unwrap().number, 1);
}
