//! Tickets: issued, repeated, taken up again after a lapse, used, cancelled, shown.

use kernel::Page;

use super::*;
use ticket::{code, domain::ticket::TicketStatus};

#[tokio::test]
async fn a_hold_becomes_tickets_with_the_categories_prices_and_codes_that_verify_offline() {
    for house in theatres().await {
        let held = house.hold(seats(&["B/2", "B/10", "C/1"])).await.unwrap();
        let tickets = house.issue(held.hold.hold_id).await.unwrap();
        let seats: Vec<&str> =
            tickets.iter().map(|ticket| ticket.place.seat.as_ref().unwrap().as_str()).collect();
        assert_eq!(seats, ["stalls/B/2", "stalls/B/10", "stalls/C/1"], "as people count");
        let prices: Vec<i64> = tickets.iter().map(|ticket| ticket.price.minor).collect();
        assert_eq!(prices, [5_000, 5_000, 3_000]);
        let keys = ops::get_signing_keys(&house.app).await.unwrap();
        for ticket in &tickets {
            assert!(ticket.number.starts_with("TKT"));
            let code = code::verify(&ticket.code, &keys).unwrap();
            assert_eq!((code.ticket_id, code.event_id), (ticket.ticket_id, EVENT));
        }
        assert_eq!(house.issue(held.hold.hold_id).await.unwrap(), tickets, "a repeat");
        let replica = house.replica().await;
        assert_eq!(ops::get_signing_keys(&replica).await.unwrap(), keys, "after a restart too");

        let other = BookingId::from_uuid(Uuid::from_u128(77));
        let refused = house.issue_for(held.hold.hold_id, other).await;
        assert_eq!(reason(refused), "HOLD_ISSUED");
        let second = house.hold(standing(2)).await.unwrap();
        let refused = house.issue_for(second.hold.hold_id, booking_of(held.hold.hold_id)).await;
        assert_eq!(reason(refused), "HOLD_MISMATCH", "a booking has one hold");
        let free = house.issue(second.hold.hold_id).await.unwrap();
        assert!(free.iter().all(|ticket| ticket.price.is_zero() && ticket.place.seat.is_none()));
        assert_eq!(audit::check(&house.db.db).await.sold, 5);
        let told = holding::messages(&house).await;
        let sold: Vec<_> = told.iter().filter(|(kind, _)| kind == "seats.sold").collect();
        assert_eq!(sold.len(), 2);
        assert_eq!(sold[0].1["available"], 45, "selling what was held leaves as many");
        assert_eq!(history(&house).await, vec!["issued"; 5]);
    }
}

/// The statuses in all tickets' histories.
async fn history(house: &House) -> Vec<String> {
    let read = house.db.db.read(|tx| {
        Box::pin(async move {
            let sql = "select status from ticket_transitions order by ordinal, status";
            let rows = tx.query(sql, &[]).await?;
            rows.iter().map(|row| row.get(0)).collect::<Result<Vec<String>, db::Error>>()
        })
    });
    read.await.unwrap()
}

#[tokio::test]
async fn a_hold_that_lapsed_is_taken_up_again_if_all_its_places_are_free_and_else_is_lost() {
    for house in theatres().await {
        let untouched = house.hold(seats(&["A/2"])).await.unwrap();
        house.lapse();
        house.issue(untouched.hold.hold_id).await.unwrap();

        let swept = house.hold(seats(&["B/1", "B/2"])).await.unwrap();
        let crowd = house.hold(standing(10)).await.unwrap();
        let beaten = house.hold(seats(&["C/1", "C/2"])).await.unwrap();
        let crowded = house.hold(standing(10)).await.unwrap();
        house.lapse();
        assert_eq!(ops::expire_holds(&house.app).await.unwrap(), 4);
        let (one, two) =
            tokio::join!(house.issue(swept.hold.hold_id), house.issue(crowd.hold.hold_id));
        assert_eq!((one.unwrap().len(), two.unwrap().len()), (2, 10));
        house.hold(seats(&["C/2"])).await.unwrap();
        house.hold(standing(1)).await.unwrap();
        let (one, two) =
            tokio::join!(house.issue(beaten.hold.hold_id), house.issue(crowded.hold.hold_id));
        assert_eq!((reason(one), reason(two)), ("HOLD_LOST".into(), "HOLD_LOST".into()));
        assert!(house.hold(seats(&["C/1"])).await.is_ok(), "nothing of the lost hold is left");
        let books = audit::check(&house.db.db).await;
        assert_eq!((books.held, books.sold), (3, 13));

        let given_back = house.hold(seats(&["B/9"])).await.unwrap();
        house.release(given_back.hold.hold_id).await.unwrap();
        let late = house.issue(given_back.hold.hold_id).await;
        assert_eq!(reason(late), "HOLD_LOST", "its booking is over: whoever asks was overtaken");
        audit::check(&house.db.db).await;
    }
}

#[tokio::test]
async fn a_cancelled_booking_frees_its_places_once() {
    for house in theatres().await {
        let held = house.hold(seats(&["B/1", "B/2"])).await.unwrap();
        let booking = booking_of(held.hold.hold_id);
        assert_eq!(house.cancel(booking).await.unwrap(), 0, "nothing was issued yet");
        let tickets = house.issue(held.hold.hold_id).await.unwrap();
        assert_eq!(house.cancel(booking).await.unwrap(), 2);
        assert_eq!(house.cancel(booking).await.unwrap(), 0, "a repeat");
        assert_eq!(house.available().await, 48);
        let code = tickets[0].code.clone();
        let command = ops::UseTicket { code, event_id: EVENT, gate: "1".into() };
        let used = ops::use_ticket(&house.app, &staff(), command).await;
        assert_eq!(reason(used), "CANCELLED_TICKET");

        let area = house.hold(standing(3)).await.unwrap();
        house.issue(area.hold.hold_id).await.unwrap();
        assert_eq!(house.cancel(booking_of(area.hold.hold_id)).await.unwrap(), 3);
        let again = house.hold(seats(&["B/1"])).await.unwrap();
        house.issue(again.hold.hold_id).await.unwrap();
        let books = audit::check(&house.db.db).await;
        assert_eq!((books.held, books.sold), (0, 1));
    }
}

#[tokio::test]
async fn a_ticket_is_used_once_at_its_own_door_and_then_stays() {
    for house in theatres().await {
        let held = house.hold(seats(&["B/1", "B/2"])).await.unwrap();
        let tickets = house.issue(held.hold.hold_id).await.unwrap();
        let code = tickets[0].code.clone();
        let other = EventId::new(&*house.ids, now(&house));
        house.open(other, theatre()).await;
        let at = |code: &str, event_id| ops::UseTicket {
            code: code.to_owned(),
            event_id,
            gate: "north".into(),
        };
        let check = |code: &str, event_id| ops::ValidateTicket { code: code.to_owned(), event_id };
        let app = &house.app;
        let valid = ops::validate_ticket(app, &staff(), check(&code, EVENT)).await.unwrap();
        assert!(valid.refusal.is_none());
        assert_eq!(valid.ticket.unwrap().ticket_id, tickets[0].ticket_id);
        let refused = ops::use_ticket(app, &staff(), at(&code, other)).await;
        assert_eq!(reason(refused), "TICKET_EVENT_MISMATCH");

        let used = ops::use_ticket(app, &staff(), at(&code, EVENT)).await.unwrap();
        assert_eq!(used.status, TicketStatus::Used);
        let used_at = now(&house);
        house.clock.advance(Duration::from_secs(60));
        let (reason_, facts) = refusal(ops::use_ticket(app, &staff(), at(&code, EVENT)).await);
        assert_eq!(reason_, "TICKET_ALREADY_USED");
        assert_eq!((&facts["used_at"], &facts["gate"]), (&used_at.to_string(), &"north".into()));
        let valid = ops::validate_ticket(app, &staff(), check(&code, EVENT)).await.unwrap();
        assert_eq!(valid.refusal.unwrap().reason(), "TICKET_ALREADY_USED");
        assert_eq!(reason(house.cancel(booking_of(held.hold.hold_id)).await), "TICKET_USED");
        assert_eq!(audit::check(&house.db.db).await.sold, 2);
        assert_eq!(history(&house).await, ["issued", "issued", "used"]);

        // Forged, of another deployment, and past its time.
        let forged = format!("{}A", &code[..code.len() - 1]);
        let broken = format!("{}{}", &code[..20], &code[21..]);
        for text in ["", "BX1.AAAA", &forged, &broken, "https://example.org"] {
            if text == code {
                continue;
            }
            let refused = ops::use_ticket(app, &staff(), at(text, EVENT)).await;
            assert_eq!(reason(refused), "INVALID_TICKET", "{text}");
            let valid = ops::validate_ticket(app, &staff(), check(text, EVENT)).await.unwrap();
            assert_eq!(valid.refusal.unwrap().reason(), "INVALID_TICKET");
        }
        house.clock.advance(Duration::from_secs(40 * 86_400));
        let late = ops::use_ticket(app, &staff(), at(&tickets[1].code, EVENT)).await;
        assert_eq!(reason(late), "INVALID_TICKET");
    }
}

#[tokio::test]
async fn tickets_are_shown_to_their_holder_page_by_page_and_to_nobody_else() {
    for house in theatres().await {
        let mut ids = Vec::new();
        for count in [2, 3] {
            let held = house.hold(best(count)).await.unwrap();
            house.clock.advance(Duration::from_secs(1));
            let tickets = house.issue(held.hold.hold_id).await.unwrap();
            ids.extend(tickets.iter().map(|ticket| ticket.ticket_id));
        }
        ids.sort_unstable();
        ids.reverse();
        let app = &house.app;
        let me = account(BUYER, Role::Individual, None);
        let stranger = account(AccountId::from_uuid(Uuid::from_u128(3)), Role::Individual, None);
        let admin = account(AccountId::from_uuid(Uuid::from_u128(4)), Role::Admin, None);
        assert_eq!(ops::get_ticket(app, &me, ids[0]).await.unwrap().ticket_id, ids[0]);
        assert!(ops::get_ticket(app, &admin, ids[0]).await.is_ok());
        assert_eq!(reason(ops::get_ticket(app, &stranger, ids[0]).await), "NOT_FOUND");
        assert_eq!(reason(ops::get_ticket(app, &staff(), ids[0]).await), "NOT_FOUND");

        let list = |limit, cursor: &str, booking_id| ops::ListTickets {
            page: Page::new(limit, cursor).unwrap(),
            booking_id,
        };
        let (first, next) = ops::list_tickets(app, &me, list(3, "", None)).await.unwrap();
        let (second, end) = ops::list_tickets(app, &me, list(3, &next, None)).await.unwrap();
        let listed: Vec<_> = first.iter().chain(&second).map(|ticket| ticket.ticket_id).collect();
        assert_eq!((listed, end.as_str()), (ids, ""));
        let booking = Some(first[0].booking_id);
        for caller in [&me, &admin, &service("booking")] {
            let (of_booking, _) =
                ops::list_tickets(app, caller, list(0, "", booking)).await.unwrap();
            assert_eq!(of_booking.len(), 3);
        }
        let (none, _) = ops::list_tickets(app, &stranger, list(0, "", booking)).await.unwrap();
        assert!(none.is_empty());
        let anonymous = Context::new(Caller::Anonymous, "");
        let refused = ops::list_tickets(app, &anonymous, list(0, "", booking)).await;
        assert_eq!(reason(refused), "UNAUTHENTICATED");
        let refused = ops::list_tickets(app, &me, list(0, "nonsense", None)).await;
        assert_eq!(reason(refused), "INVALID_ARGUMENT");
    }
}
