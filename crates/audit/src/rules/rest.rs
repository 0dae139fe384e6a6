//! Whatever has a time is done by then; and nothing is left undone once everything rests.

use super::{Needs, Rule, rule};

pub(super) const RULES: &[Rule] = &[rule(
    "whatever has a time is done by then",
    "waiting",
    "select w.subject, w.words || ', past its time' from waiting w, bound
     where w.due < bound.overdue",
)];

/// What has yet to be done. No violation, while there is time.
pub(crate) const UNSETTLED: Rule = Rule {
    name: "all rests",
    of: "waiting",
    needs: Needs::Stores,
    breaks: "select subject, words from waiting",
};
