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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DERIVED, WAITING, notes::Notes};

    #[test]
    fn every_rule_can_be_asked_and_has_a_name_of_its_own() {
        let notes = Notes::new().unwrap();
        notes.run("insert into bound values (3, 2, 3)").unwrap();
        notes.run(WAITING).unwrap();
        notes.run(DERIVED).unwrap();
        let mut names: Vec<_> = all().chain([&UNSETTLED]).map(|rule| rule.name).collect();
        for rule in all().chain([&UNSETTLED]) {
            let asked = notes.ask(rule).unwrap_or_else(|error| panic!("{}: {error}", rule.name));
            assert_eq!((asked.count, asked.looked_at), (0, Some(0)), "{}", rule.name);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().count() + 1);
    }
}
