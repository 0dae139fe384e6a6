//! Wrong callers and wrong input: refused by every verb, and nothing is changed.

use super::*;

#[tokio::test]
async fn an_inventory_never_gets_another_plan_nor_other_terms_once_it_sells() {
    for house in theatres().await {
        let command = |plan, max_per_hold, ends_at| ops::OpenInventory {
            event_id: EVENT,
            organization_id: ORGANIZATION,
            plan,
            max_per_hold,
            ends_at,
        };
        let app = &house.app;
        let event = service("event");
        let ends_at = now(&house).plus(Duration::from_secs(30 * 86_400));
        let same = command(theatre(), 10, ends_at);
        assert_eq!(ops::open_inventory(app, &event, same).await.unwrap(), 48, "a repeat");
        let area = Section {
            key: "area".into(),
            kind: Kind::Admission,
            category: "a".into(),
            capacity: 5,
            rows: vec![],
        };
        let later = ends_at.plus(Duration::from_secs(60));
        let edited = ops::open_inventory(app, &event, command(theatre(), 11, later)).await;
        assert_eq!(edited.unwrap(), 48, "a draft edited before anything was held");
        assert!(house.hold(best(11)).await.is_ok(), "the new terms are in force");
        for other in [
            command(Plan::new(vec![area]).unwrap(), 11, later),
            command(theatre(), 11, ends_at),
            command(theatre(), 9, later),
        ] {
            let refused = ops::open_inventory(app, &event, other).await;
            assert_eq!(reason(refused), "INVENTORY_OPEN");
        }
        for wrong in [
            command(theatre(), 0, ends_at),
            command(theatre(), 101, ends_at),
            command(theatre(), 10, Timestamp::EPOCH),
        ] {
            let refused = ops::open_inventory(app, &event, wrong).await;
            assert_eq!(reason(refused), "INVALID_ARGUMENT");
        }
        let books = audit::check(&house.db.db).await;
        assert_eq!((books.held, books.sold), (11, 0));
    }
}

#[tokio::test]
async fn only_the_platform_moves_places_and_only_the_organization_works_the_door() {
    for house in theatres().await {
        let app = &house.app;
        let held = house.hold(best(1)).await.unwrap();
        let hold_id = held.hold.hold_id;
        let code = house.issue(hold_id).await.unwrap()[0].code.clone();
        let other_house = Some(OrganizationId::from_uuid(Uuid::from_u128(5)));
        let outsiders = [
            Context::new(Caller::Anonymous, ""),
            account(BUYER, Role::Individual, Some(ORGANIZATION)),
            account(BUYER, Role::Organization, other_house),
        ];
        for context in &outsiders {
            let forbidden = "FORBIDDEN";
            assert_eq!(reason(ops::hold_seats(app, context, house.wish(best(1))).await), forbidden);
            let command =
                ops::ReleaseHold { hold_id, reason: "cancelled".into(), account_id: None };
            assert_eq!(reason(ops::release_hold(app, context, command).await), forbidden);
            let command = sale(hold_id, booking_of(hold_id));
            assert_eq!(reason(ops::issue_tickets(app, context, command).await), forbidden);
            let booking_id = booking_of(hold_id);
            let command = ops::CancelTickets { booking_id, reason: String::new() };
            assert_eq!(reason(ops::cancel_tickets(app, context, command).await), forbidden);
            let command = ops::OpenInventory {
                event_id: EVENT,
                organization_id: ORGANIZATION,
                plan: theatre(),
                max_per_hold: 1,
                ends_at: now(&house),
            };
            assert_eq!(reason(ops::open_inventory(app, context, command).await), forbidden);
            let door =
                if context.caller == Caller::Anonymous { "UNAUTHENTICATED" } else { forbidden };
            let (code, gate) = (code.clone(), "1".to_owned());
            let command = ops::UseTicket { code: code.clone(), event_id: EVENT, gate };
            assert_eq!(reason(ops::use_ticket(app, context, command).await), door);
            let command = ops::ValidateTicket { code, event_id: EVENT };
            assert_eq!(reason(ops::validate_ticket(app, context, command).await), door);
        }
        assert_eq!(audit::check(&house.db.db).await.sold, 1);
    }
}

#[tokio::test]
async fn wishes_that_make_no_sense_are_refused_and_nothing_is_held() {
    for house in theatres().await {
        let wrong = [
            seats(&[]),
            seats(&["A/1", "A/1"]),
            seats(&["A/9"]),
            seats(&["Z/1"]),
            seats(&["A/01"]),
            best(0),
            best(11),
            best(u32::MAX),
            standing(0),
            standing(11),
            Choice::Admissions { section: "stalls".into(), quantity: 1 },
            Choice::Admissions { section: String::new(), quantity: 1 },
            Choice::BestAvailable {
                quantity: 1,
                section: Some("nowhere".into()),
                category: None,
                wheelchair: 0,
            },
            Choice::BestAvailable { quantity: 1, section: None, category: None, wheelchair: 2 },
        ];
        for choice in wrong {
            let refused = house.hold(choice.clone()).await;
            assert_eq!(reason(refused), "INVALID_ARGUMENT", "{choice:?}");
        }
        for ttl_seconds in [0, 7_201, u32::MAX] {
            let wish = HoldSeats { ttl_seconds, ..house.wish(best(1)) };
            assert_eq!(reason(hold(&house.app, wish).await), "INVALID_ARGUMENT");
        }
        let nowhere =
            HoldSeats { event_id: EventId::from_uuid(Uuid::from_u128(404)), ..house.wish(best(1)) };
        assert_eq!(reason(hold(&house.app, nowhere.clone()).await), "NOT_FOUND");
        let unknown = ops::get_availability(&house.app, nowhere.event_id, true).await;
        assert_eq!(reason(unknown.map(|_| ())), "NOT_FOUND");

        let command = ops::ReleaseHold {
            hold_id: house.hold_id(),
            reason: "because".into(),
            account_id: None,
        };
        let refused = ops::release_hold(&house.app, &service("booking"), command).await;
        assert_eq!(reason(refused), "INVALID_ARGUMENT");
        let books = audit::check(&house.db.db).await;
        assert_eq!((books.held, books.sold), (0, 0));
        assert!(holding::messages(&house).await.is_empty());

        house.clock.advance(Duration::from_secs(31 * 86_400));
        assert_eq!(reason(house.hold(best(1)).await), "EVENT_ENDED");
    }
}

#[tokio::test]
async fn sales_that_make_no_sense_are_refused_and_the_hold_stands() {
    for house in theatres().await {
        let app = &house.app;
        let held = house.hold(seats(&["B/1", "C/1"])).await.unwrap();
        let hold_id = held.hold.hold_id;
        let good = || sale(hold_id, booking_of(hold_id));
        let prices = |prices: &[(&str, i64)]| {
            prices.iter().map(|(category, price)| ((*category).to_owned(), *price)).collect()
        };
        let stranger = AccountId::from_uuid(Uuid::from_u128(3));
        let wrong = [
            (IssueTickets { prices: prices(&[("best", 1)]), ..good() }, "INVALID_ARGUMENT"),
            (
                IssueTickets { prices: prices(&[("best", 1), ("good", -1)]), ..good() },
                "INVALID_ARGUMENT",
            ),
            (IssueTickets { booking_reference: "x".repeat(65), ..good() }, "INVALID_ARGUMENT"),
            (IssueTickets { account_id: stranger, ..good() }, "HOLD_MISMATCH"),
            (IssueTickets { hold_id: house.hold_id(), ..good() }, "NOT_FOUND"),
        ];
        for (command, expected) in wrong {
            let refused = ops::issue_tickets(app, &service("booking"), command).await;
            assert_eq!(reason(refused), expected);
        }
        let booking_id = booking_of(hold_id);
        let command = ops::CancelTickets { booking_id, reason: "x".repeat(201) };
        let refused = ops::cancel_tickets(app, &service("booking"), command).await;
        assert_eq!(reason(refused), "INVALID_ARGUMENT");
        for gate in ["x".repeat(65), "a\nb".into()] {
            let command = ops::UseTicket { code: String::new(), event_id: EVENT, gate };
            let refused = ops::use_ticket(app, &staff(), command).await;
            assert_eq!(reason(refused), "INVALID_ARGUMENT");
        }
        let books = audit::check(&house.db.db).await;
        assert_eq!((books.held, books.sold), (2, 0));
    }
}
