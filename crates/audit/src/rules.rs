//! The rules: each a sentence that must hold, and a statement over the audit's notes that answers
//! what breaks it.

mod histories;
mod money;
mod news;
mod promises;
mod rest;
mod seats;

pub(crate) use histories::WAYS;
pub(crate) use rest::UNSETTLED;

/// Something that must hold.
pub(crate) struct Rule {
    /// A name for reports.
    pub(crate) name: &'static str,
    /// The table whose rows are looked at.
    pub(crate) of: &'static str,
    /// Where it can only be told with the provider's books, or with a journal.
    pub(crate) needs: Needs,
    /// Answers subject and words of each that breaks it.
    pub(crate) breaks: &'static str,
}

/// What a rule can't do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Stores,
    Provider,
    Journal,
}

const fn rule(name: &'static str, of: &'static str, breaks: &'static str) -> Rule {
    Rule { name, of, needs: Needs::Stores, breaks }
}

impl Rule {
    const fn with(self, needs: Needs) -> Self {
        Self { needs, ..self }
    }
}

/// All of them, in the order of a report.
pub(crate) fn all() -> impl Iterator<Item = &'static Rule> {
    [seats::RULES, money::RULES, promises::RULES, histories::RULES, news::RULES, rest::RULES]
        .into_iter()
        .flatten()
}
