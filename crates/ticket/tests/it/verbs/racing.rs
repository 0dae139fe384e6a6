//! Many at once: exactly as many as there are, nobody twice, nobody refused without need.

use std::collections::HashSet;

use futures_util::future::join_all;

use super::*;

/// Runs `wishes` at once, in tasks spread over `apps`, and returns what came of each.
async fn race(apps: &[Arc<App>], wishes: Vec<HoldSeats>) -> Vec<Result<Held, Error>> {
    let racing = wishes.into_iter().enumerate().map(|(index, wish)| {
        let app = apps[index % apps.len()].clone();
        finish(async move { hold(&app, wish).await })
    });
    join_all(racing).await
}

/// Runs `work` in a task of its own, as the gRPC face does.
async fn finish<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    Tasks::new().finish(work).await
}

fn no_seat_twice(held: &[Result<Held, Error>]) -> usize {
    let seats: Vec<String> = held.iter().flatten().flat_map(held_seats).collect();
    assert_eq!(seats.iter().collect::<HashSet<_>>().len(), seats.len(), "{seats:?}");
    seats.len()
}

fn arena(house: &House, rows: u32) -> (EventId, Plan) {
    let row = |name: u32| Row {
        name: name.to_string(),
        first_number: 1,
        seats: 10,
        category: None,
        wheelchair: vec![],
    };
    let section = Section {
        key: "stalls".into(),
        kind: Kind::Seated,
        category: "best".into(),
        capacity: rows * 10,
        rows: (1..=rows).map(row).collect(),
    };
    (EventId::new(&*house.ids, now(house)), Plan::new(vec![section]).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_buyers_of_the_best_seats_get_exactly_fifty() {
    for house in theatres().await {
        let (event_id, plan) = arena(&house, 5);
        house.open(event_id, plan).await;
        let apps = [house.app.clone(), house.replica().await];
        let wishes = (0..200).map(|_| HoldSeats { event_id, ..house.wish(best(1)) });
        let held = race(&apps, wishes.collect()).await;
        let refused: Vec<String> =
            held.iter().filter_map(|held| held.as_ref().err()).map(|e| e.reason().into()).collect();
        assert!(refused.iter().all(|reason| reason == "SOLD_OUT"), "{refused:?}");
        assert_eq!(no_seat_twice(&held), 50, "{}", house.db.engine());
        assert_eq!(audit::check(&house.db.db).await.held, 50);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_buyers_of_chosen_seats_never_share_one() {
    for house in theatres().await {
        let (event_id, plan) = arena(&house, 5);
        house.open(event_id, plan).await;
        let apps = [house.app.clone(), house.replica().await];
        let wish = |_| {
            let mut names = HashSet::new();
            for _ in 0..=house.ids.below(3) {
                let (row, seat) = (house.ids.below(5) + 1, house.ids.below(10) + 1);
                names.insert(format!("stalls/{row}/{seat}"));
            }
            let seats = names.iter().map(|name| name.parse().unwrap()).collect();
            HoldSeats { event_id, ..house.wish(Choice::Seats(seats)) }
        };
        let wishes: Vec<HoldSeats> = (0..200).map(wish).collect();
        let held = race(&apps, wishes.clone()).await;
        let sold = no_seat_twice(&held);
        let books = audit::check(&house.db.db).await;
        assert_eq!(books.held, i64::try_from(sold).unwrap());
        // Nobody was refused without need: one of the seats belongs to somebody.
        let taken: HashSet<String> = held.iter().flatten().flat_map(held_seats).collect();
        for (wish, held) in wishes.iter().zip(&held) {
            let Choice::Seats(seats) = &wish.choice else { continue };
            let free = seats.iter().all(|seat| !taken.contains(seat.as_str()));
            assert!(!(held.is_err() && free), "{wish:?}: {held:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admissions_are_filled_to_the_last_and_not_one_more() {
    for house in theatres().await {
        let apps = [house.app.clone(), house.replica().await];
        let quantity = |_| u32::try_from(house.ids.below(3) + 1).unwrap();
        let wishes = (0..100).map(quantity).map(|quantity| house.wish(standing(quantity)));
        let held = race(&apps, wishes.collect()).await;
        let admitted: usize = held.iter().flatten().map(|held| held.places.len()).sum();
        assert_eq!(admitted, 20, "there is always somebody who wants only one");
        assert_eq!(audit::check(&house.db.db).await.held, 20);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buyers_who_leave_in_the_middle_leave_nothing_half_done() {
    for house in theatres().await {
        let racing = (0..60).map(|number| {
            let (app, wish) = (house.app.clone(), house.wish(best(1)));
            async move {
                let holding = hold(&app, wish);
                let mut holding = std::pin::pin!(holding);
                // Polled so often, then dropped.
                for _ in 0..number % 7 {
                    if futures_util::poll!(holding.as_mut()).is_ready() {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            }
        });
        join_all(racing).await;
        // What they began may still commit; then everything that is left can be had, and no more.
        let mut held = 0;
        loop {
            match house.hold(best(1)).await {
                Ok(_) => held += 1,
                Err(error) => {
                    assert_eq!(error.reason(), "SOLD_OUT");
                    break;
                }
            }
        }
        let books = audit::check(&house.db.db).await;
        assert_eq!(books.held, 26, "{held} of them held by those who stayed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_booking_is_issued_once_however_often_it_is_asked_for() {
    for house in theatres().await {
        let held = house.hold(best(4)).await.unwrap();
        let apps = [house.app.clone(), house.replica().await];
        let command = sale(held.hold.hold_id, booking_of(held.hold.hold_id));
        let racing = (0..20).map(|index| {
            let (app, command) = (apps[index % 2].clone(), command.clone());
            finish(async move { ops::issue_tickets(&app, &service("booking"), command).await })
        });
        let issued: Vec<_> = join_all(racing).await.into_iter().map(Result::unwrap).collect();
        assert!(issued.iter().all(|tickets| tickets == &issued[0]));
        assert_eq!(audit::check(&house.db.db).await.sold, 4);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_ticket_lets_in_one_of_twenty_who_carry_its_copy() {
    for house in theatres().await {
        let held = house.hold(best(1)).await.unwrap();
        let code = house.issue(held.hold.hold_id).await.unwrap()[0].code.clone();
        let racing = (0..20).map(|gate| {
            let app = house.app.clone();
            let gate = gate.to_string();
            let command = ops::UseTicket { code: code.clone(), event_id: EVENT, gate };
            finish(async move { ops::use_ticket(&app, &staff(), command).await })
        });
        let used = join_all(racing).await;
        assert_eq!(used.iter().filter(|used| used.is_ok()).count(), 1);
        let others = used.into_iter().filter(Result::is_err).map(reason);
        assert!(others.into_iter().all(|reason| reason == "TICKET_ALREADY_USED"));
        let told = holding::messages(&house).await;
        assert_eq!(told.iter().filter(|(kind, _)| kind == "ticket.used").count(), 1);
    }
}
