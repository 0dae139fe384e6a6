//! The map as buyers see it: which seats seem free. It may be behind; the platform decides.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// All seats of the hall, in order, and which of them seem taken.
#[derive(Debug)]
pub(crate) struct Board {
    names: Vec<String>,
    numbers: HashMap<String, usize>,
    taken: Mutex<Vec<bool>>,
}

impl Board {
    pub(crate) fn new(names: Vec<String>) -> Self {
        let numbers = names.iter().cloned().enumerate().map(|(at, name)| (name, at)).collect();
        let taken = Mutex::new(vec![false; names.len()]);
        Self { names, numbers, taken }
    }

    /// The whole truth of a moment: these seats are taken, the others are not.
    pub(crate) fn replace<'a>(&self, seats: impl Iterator<Item = &'a str>) {
        let mut taken = self.taken();
        taken.fill(false);
        for seat in seats.filter_map(|name| self.numbers.get(name)) {
            if let Some(seat) = taken.get_mut(*seat) {
                *seat = true;
            }
        }
    }

    /// These are gone.
    pub(crate) fn take<'a>(&self, seats: impl Iterator<Item = &'a str>) {
        let mut taken = self.taken();
        for seat in seats.filter_map(|name| self.numbers.get(name)) {
            if let Some(seat) = taken.get_mut(*seat) {
                *seat = true;
            }
        }
    }

    /// So many seats that seem free, beside each other where there are such, from the place on that
    /// `salt` leads to. Where too few seem free, fewer, but at least one of all seats.
    pub(crate) fn pick(&self, salt: u64, places: u32) -> Vec<&str> {
        let (all, wanted) = (self.names.len(), places as usize);
        if all == 0 {
            return Vec::new();
        }
        let start = (salt % all as u64) as usize;
        let taken = self.taken();
        let is_free = |at: usize| taken.get(at) == Some(&false);
        let (mut run, mut any) = (Vec::new(), Vec::new());
        for step in 0..all {
            let at = (start + step) % all;
            if !is_free(at) || at == 0 {
                run.clear();
            }
            if is_free(at) {
                run.push(at);
                if any.len() < wanted {
                    any.push(at);
                }
            }
            if run.len() == wanted {
                break;
            }
        }
        let mut found = if run.len() == wanted { run } else { any };
        if found.is_empty() {
            found.push(start);
        }
        found.iter().filter_map(|at| self.names.get(*at).map(String::as_str)).collect()
    }

    fn taken(&self) -> MutexGuard<'_, Vec<bool>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_that_seem_free_are_picked_beside_each_other() {
        let board = Board::new(["a", "b", "c", "d", "e"].map(str::to_owned).into());
        assert_eq!(board.pick(1, 2), ["b", "c"]);
        board.take(["c"].into_iter());
        assert_eq!(board.pick(1, 2), ["d", "e"]);
        assert_eq!(board.pick(4, 2), ["a", "b"], "the last and the first are not neighbours");
        board.replace(["b", "d"].into_iter());
        assert_eq!(board.pick(1, 2), ["c", "e"], "apart, where no two are together");
        board.replace(["a", "b", "c", "d", "e"].into_iter());
        assert_eq!(board.pick(3, 2), ["d"], "whoever sees nothing free tries all the same");
    }
}
