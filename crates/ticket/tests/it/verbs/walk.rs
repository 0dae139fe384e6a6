//! A random walk through all verbs, from a seed: whatever happens, the books go together.

use super::*;

const STEPS: u32 = 400;
const AUDIT_EVERY: u32 = 20;

#[tokio::test]
async fn the_books_go_together_after_every_step_of_a_random_walk() {
    for house in theatres().await {
        let replica = house.replica().await;
        let mut holds: Vec<HoldId> = Vec::new();
        let mut codes: Vec<String> = Vec::new();
        let (mut held, mut sold) = (0, 0);
        for step in 0..STEPS {
            let below = |end: usize| usize::try_from(house.ids.below(end as u64)).unwrap();
            let known = |holds: &[HoldId]| (!holds.is_empty()).then(|| holds[below(holds.len())]);
            match below(12) {
                0..=5 => {
                    let wish = house.wish(choice(&house));
                    let app = if below(4) == 0 { &replica } else { &house.app };
                    if hold(app, wish.clone()).await.is_ok() {
                        held += 1;
                        holds.push(wish.hold_id);
                    }
                }
                6 | 7 => {
                    let Some(hold_id) = known(&holds) else { continue };
                    if let Ok(tickets) = house.issue(hold_id).await {
                        sold += 1;
                        codes.extend(tickets.into_iter().map(|ticket| ticket.code));
                    }
                }
                8 => {
                    let Some(hold_id) = known(&holds) else { continue };
                    let _refused = house.release(hold_id).await;
                }
                9 => {
                    let Some(hold_id) = known(&holds) else { continue };
                    let _refused = house.cancel(booking_of(hold_id)).await;
                }
                10 => {
                    let Some(code) = codes.pop() else { continue };
                    let command = ops::UseTicket { code, event_id: EVENT, gate: "1".into() };
                    let _refused = ops::use_ticket(&house.app, &staff(), command).await;
                }
                _ => {
                    house.clock.advance(Duration::from_secs(300));
                    ops::expire_holds(&replica).await.unwrap();
                }
            }
            if step % AUDIT_EVERY == 0 {
                audit::check(&house.db.db).await;
            }
        }
        assert!(held > 50 && sold > 10, "a walk that goes somewhere: {held} held, {sold} sold");
        let books = audit::check(&house.db.db).await;
        let left = 48 - books.held - books.sold;
        assert_eq!(house.available().await, left);
        // And what is left can be had: to the last seat and admission.
        house.lapse();
        let mut got = 0;
        for name in ["A", "B", "C"] {
            for number in 1..=10 {
                let wish = seats(&[&format!("{name}/{number}")]);
                got += i64::from(house.hold(wish).await.is_ok());
            }
        }
        while house.hold(standing(1)).await.is_ok() {
            got += 1;
        }
        assert_eq!(got, 48 - books.sold);
        assert_eq!(audit::check(&house.db.db).await.held, got);
    }
}

fn choice(house: &House) -> Choice {
    let count = |end| u32::try_from(house.ids.below(end)).unwrap() + 1;
    match house.ids.below(4) {
        0 => standing(count(5)),
        1 => {
            let start = count(7);
            let row = ["A", "B", "C"][house.ids.below(3) as usize];
            let names: Vec<String> =
                (start..start + count(2)).map(|number| format!("{row}/{number}")).collect();
            seats(&names.iter().map(String::as_str).collect::<Vec<_>>())
        }
        2 => Choice::BestAvailable {
            quantity: 2,
            section: None,
            category: Some("best".into()),
            wheelchair: 1,
        },
        _ => best(count(4)),
    }
}
