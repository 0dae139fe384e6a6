//! Choosing the best seats that are free: together where possible, the best rows first, from the
//! middle of a row outwards. Wheelchair places go only to those who ask for them.

use super::{
    plan::Spot,
    seatmap::{Seat, SeatMap, Sums},
};

/// A wish for the best seats.
#[derive(Debug, Clone, Copy)]
pub struct Best<'a> {
    /// How many.
    pub quantity: usize,
    /// Only in this section.
    pub section: Option<&'a str>,
    /// Only of this price category.
    pub category: Option<&'a str>,
    /// How many of them are wheelchair places.
    pub wheelchair: usize,
}

impl SeatMap {
    /// The best free seats for `wish`, exactly as many as it asks for; none if there are not so
    /// many.
    #[must_use]
    pub fn choose(&self, wish: &Best<'_>) -> Option<Vec<Spot>> {
        let seats = wish.quantity.checked_sub(wish.wheelchair)?;
        let mut spots = self.choose_wheelchair(wish)?;
        if let Some(first) = spots.first().copied() {
            // Those who come along sit beside, as far as there is room.
            spots.extend(self.nearest(first, seats));
        }
        let left = wish.quantity - spots.len();
        if left > 0 {
            let more = if spots.is_empty() { self.together(left, wish) } else { None };
            let more = more.or_else(|| self.scattered(left, wish, &spots))?;
            spots.extend(more);
        }
        Some(spots)
    }

    /// How many seats `wish` could have, if it asked for as many.
    #[must_use]
    pub fn open(&self, wish: &Best<'_>) -> usize {
        self.rows_for(wish).map(|(_, sums)| sums.open).sum()
    }

    fn rows_for<'a>(&'a self, wish: &'a Best<'_>) -> impl Iterator<Item = (usize, Sums)> + 'a {
        let plan = self.plan();
        let meant = move |row: usize| {
            plan.row(row).is_some_and(|(section, row)| {
                wish.section.is_none_or(|key| key == section.key)
                    && wish.category.is_none_or(|category| category == row.category_in(section))
            })
        };
        let rows = self.sums.iter().copied().enumerate();
        // Most rows of a sale that goes well are full, so that they are not even asked for their
        // names.
        rows.filter(move |(row, sums)| (sums.open > 0 || sums.wheelchair > 0) && meant(*row))
    }

    fn choose_wheelchair(&self, wish: &Best<'_>) -> Option<Vec<Spot>> {
        let wanted = wish.wheelchair;
        if wanted == 0 {
            return Some(Vec::new());
        }
        let in_row = |row: usize| {
            let seats = self.seats(row).iter().enumerate();
            seats
                .filter(|(_, seat)| seat.is_open_wheelchair())
                .map(move |(offset, _)| Spot { row, offset })
        };
        let whole = self.rows_for(wish).find(|(_, sums)| sums.wheelchair >= wanted);
        let spots: Vec<Spot> = match whole {
            Some((row, _)) => in_row(row).take(wanted).collect(),
            None => self.rows_for(wish).flat_map(|(row, _)| in_row(row)).take(wanted).collect(),
        };
        (spots.len() == wanted).then_some(spots)
    }

    /// Up to `wanted` free seats of the row of `spot`, the nearest first.
    fn nearest(&self, spot: Spot, wanted: usize) -> Vec<Spot> {
        let seats = self.seats(spot.row).iter().enumerate();
        let mut offsets: Vec<usize> =
            seats.filter(|(_, seat)| seat.is_open()).map(|(offset, _)| offset).collect();
        offsets.sort_by_key(|offset| offset.abs_diff(spot.offset));
        offsets.truncate(wanted);
        offsets.into_iter().map(|offset| Spot { row: spot.row, offset }).collect()
    }

    /// `wanted` seats side by side, in the first row that has them.
    fn together(&self, wanted: usize, wish: &Best<'_>) -> Option<Vec<Spot>> {
        let (row, _) = self.rows_for(wish).find(|(_, sums)| sums.longest >= wanted)?;
        Some(side_by_side(row, best_window(self.seats(row), wanted)?, wanted))
    }

    /// `wanted` seats in groups as large as there are, beside those already in `spots`.
    fn scattered(&self, wanted: usize, wish: &Best<'_>, spots: &[Spot]) -> Option<Vec<Spot>> {
        if self.open(wish) < wanted {
            return None;
        }
        let mut rows: Vec<(usize, usize)> = self
            .rows_for(wish)
            .filter(|(row, sums)| sums.longest > 0 && !spots.iter().any(|spot| spot.row == *row))
            .map(|(row, sums)| (row, sums.longest))
            .collect();
        let mut found: Vec<Spot> = Vec::with_capacity(wanted);
        while found.len() < wanted {
            let left = wanted - found.len();
            // The last of equals is taken by max_by_key, and the first row is the best.
            let best = rows.iter().enumerate().rev().max_by_key(|(_, (_, run))| (*run).min(left));
            let Some((at, (row, run))) = best.map(|(at, row)| (at, *row)) else { break };
            let size = run.min(left);
            found.extend(side_by_side(row, best_window(self.seats(row), size)?, size));
            rows.remove(at);
        }
        // What is left over between groups, the best row first.
        let singles = self.rows_for(wish).flat_map(|(row, _)| {
            let seats = self.seats(row).iter().enumerate();
            seats.filter(|(_, seat)| seat.is_open()).map(move |(offset, _)| Spot { row, offset })
        });
        for spot in singles {
            if found.len() == wanted {
                break;
            }
            if !found.contains(&spot) && !spots.contains(&spot) {
                found.push(spot);
            }
        }
        (found.len() == wanted).then_some(found)
    }
}

fn side_by_side(row: usize, start: usize, count: usize) -> Vec<Spot> {
    (start..start + count).map(|offset| Spot { row, offset }).collect()
}

/// Where in a row `wanted` seats side by side start best: leaving no seat alone between others,
/// near the middle.
fn best_window(seats: &[Seat], wanted: usize) -> Option<usize> {
    let mut best: Option<((usize, usize), usize)> = None;
    let mut run_start = 0;
    for end in 0..=seats.len() {
        if seats.get(end).is_some_and(|seat| seat.is_open()) {
            continue;
        }
        // A run of open seats ends before `end`.
        for start in run_start..(end + 1).saturating_sub(wanted).max(run_start) {
            let alone = |count: usize| usize::from(count == 1);
            let lonely = alone(start - run_start) + alone(end - start - wanted);
            let from_middle = (2 * start + wanted).abs_diff(seats.len());
            if best.is_none_or(|(cost, _)| (lonely, from_middle) < cost) {
                best = Some(((lonely, from_middle), start));
            }
        }
        run_start = end + 1;
    }
    best.map(|(_, start)| start)
}

#[cfg(test)]
mod tests;
