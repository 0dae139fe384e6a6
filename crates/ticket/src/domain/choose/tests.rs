//! Properties of choosing: exactly as many, each free, once, as asked for; together where there is
//! room; and no wheelchair place for those who don't ask.

use std::{collections::HashSet, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::domain::{
    plan::{Kind, Plan, Row, Section},
    seatmap::State,
};

fn row(name: &str, seats: u32, category: Option<&str>, wheelchair: Vec<u32>) -> Row {
    let category = category.map(str::to_owned);
    Row { name: name.to_owned(), first_number: 1, seats, category, wheelchair }
}

fn seated(key: &str, rows: Vec<Row>) -> Section {
    let capacity = rows.iter().map(|row| row.seats).sum();
    Section { key: key.into(), kind: Kind::Seated, category: "b".into(), capacity, rows }
}

fn plan() -> Arc<Plan> {
    let stalls = vec![
        row("A", 8, Some("a"), vec![1, 8]),
        row("B", 10, Some("a"), vec![]),
        row("C", 10, None, vec![]),
    ];
    let balcony = vec![row("A", 6, None, vec![3]), row("B", 6, None, vec![])];
    Arc::new(Plan::new(vec![seated("stalls", stalls), seated("balcony", balcony)]).unwrap())
}

fn best(quantity: usize, wheelchair: usize) -> Best<'static> {
    Best { quantity, section: None, category: None, wheelchair }
}

fn names(map: &SeatMap, spots: &[Spot]) -> Vec<String> {
    spots.iter().map(|spot| map.plan().seat(*spot).unwrap().to_string()).collect()
}

#[test]
fn the_first_buyers_sit_in_the_middle_of_the_best_row_that_has_room() {
    let mut map = SeatMap::new(plan());
    let first = map.choose(&best(2, 0)).unwrap();
    assert_eq!(names(&map, &first), ["stalls/A/4", "stalls/A/5"]);
    map.set(first.into_iter().map(|spot| (spot, State::Held)));
    // Two seats are left on either side of row A, so three go to row B.
    let second = map.choose(&best(3, 0)).unwrap();
    assert!(names(&map, &second).iter().all(|name| name.starts_with("stalls/B/")));
    let filtered = Best { section: Some("balcony"), ..best(2, 0) };
    let third = map.choose(&filtered).unwrap();
    assert!(names(&map, &third).iter().all(|name| name.starts_with("balcony/")));
    let filtered = Best { category: Some("b"), ..best(2, 0) };
    let fourth = map.choose(&filtered).unwrap();
    assert!(names(&map, &fourth).iter().all(|name| name.starts_with("stalls/C/")));
}

#[test]
fn a_wheelchair_place_comes_with_the_seats_beside_it() {
    let map = SeatMap::new(plan());
    let together = map.choose(&best(3, 1)).unwrap();
    assert_eq!(names(&map, &together), ["stalls/A/1", "stalls/A/2", "stalls/A/3"]);
    assert_eq!(map.choose(&best(2, 2)).unwrap().len(), 2);
    assert!(map.choose(&best(4, 4)).is_none(), "there are three");
}

#[test]
fn no_seat_is_left_alone_where_another_way_is_as_good() {
    let one = vec![seated("s", vec![row("A", 5, None, vec![])])];
    let map = SeatMap::new(Arc::new(Plan::new(one).unwrap()));
    // The middle would leave a single seat on both sides.
    assert_eq!(names(&map, &map.choose(&best(3, 0)).unwrap()), ["s/A/1", "s/A/2", "s/A/3"]);
}

fn longest_run(map: &SeatMap, wish: &Best<'_>) -> usize {
    map.rows_for(wish).map(|(_, sums)| sums.longest).max().unwrap_or(0)
}

proptest! {
    #[test]
    fn what_is_chosen_is_what_was_asked_for(
        taken in proptest::collection::vec((0_usize..5, 0_usize..10), 0..45),
        quantity in 1_usize..14,
        wheelchair in 0_usize..3,
        filter in 0_usize..4,
    ) {
        let wheelchair = wheelchair.min(quantity);
        let (section, category) =
            [(None, None), (Some("stalls"), None), (None, Some("a")), (Some("balcony"), Some("b"))]
                [filter];
        let wish = Best { quantity, section, category, wheelchair };
        let mut map = SeatMap::new(plan());
        map.set(taken.into_iter().map(|(row, offset)| (Spot { row, offset }, State::Sold)));

        let meant = |spot: &Spot| {
            let (home, row) = map.plan().row(spot.row).unwrap();
            section.is_none_or(|key| key == home.key)
                && category.is_none_or(|name| name == row.category_in(home))
        };
        let row = |row| (0..map.seats(row).len()).map(move |offset| Spot { row, offset });
        let all = || (0..5).flat_map(row);
        let free = |spot: &Spot| map.state(*spot) == Some(State::Free) && meant(spot);
        let is_wheelchair = |spot: &Spot| map.seats(spot.row)[spot.offset].wheelchair;
        let places = all().filter(free).filter(is_wheelchair).count();
        let seats = all().filter(free).filter(|spot| !is_wheelchair(spot)).count();
        let enough = places >= wheelchair && seats >= quantity - wheelchair;

        let chosen = map.choose(&wish);
        prop_assert_eq!(chosen.is_some(), enough, "nothing only if there is too little");
        let Some(chosen) = chosen else { return Ok(()) };
        prop_assert_eq!(chosen.len(), quantity);
        prop_assert_eq!(chosen.iter().collect::<HashSet<_>>().len(), quantity, "no seat twice");
        prop_assert!(chosen.iter().all(free));
        prop_assert_eq!(chosen.iter().filter(|spot| is_wheelchair(spot)).count(), wheelchair);
        if wheelchair == 0 && longest_run(&map, &wish) >= quantity {
            let mut sorted = chosen;
            sorted.sort_unstable();
            prop_assert!(sorted.windows(2).all(|pair| {
                pair[0].row == pair[1].row && pair[0].offset + 1 == pair[1].offset
            }), "together where there is room: {:?}", sorted);
        }
    }

    #[test]
    fn sums_are_what_the_seats_say_after_any_change(
        changes in proptest::collection::vec((0_usize..5, 0_usize..10, 0_usize..4), 0..60),
    ) {
        let states = [State::Free, State::Chosen, State::Held, State::Sold];
        let mut map = SeatMap::new(plan());
        map.set(changes.iter().map(|(row, offset, state)| {
            (Spot { row: *row, offset: *offset }, states[*state])
        }));
        for row in 0..5 {
            let seats = map.seats(row);
            let open: Vec<bool> = seats.iter().map(|seat| seat.is_open()).collect();
            let longest = open.split(|open| !open).map(<[bool]>::len).max().unwrap_or(0);
            prop_assert_eq!(map.sums[row].longest, longest);
            prop_assert_eq!(map.sums[row].open, open.iter().filter(|open| **open).count());
        }
        let chosen = map.taken().filter(|(_, state)| *state == State::Chosen).count();
        prop_assert_eq!(map.chosen(), chosen);
        let spots: Vec<Spot> = map.taken().map(|(spot, _)| spot).collect();
        map.give_up(&spots);
        prop_assert_eq!(map.chosen(), 0);
        prop_assert!(map.taken().all(|(_, state)| matches!(state, State::Held | State::Sold)));
    }
}
