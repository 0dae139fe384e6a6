//! Who may import whom. An arrow that this table lacks is an arrow somebody has to decide first.

use super::{Violation, tree::Crate};

/// The ten services; none imports another.
pub(super) const SERVICES: [&str; 10] = [
    "auth",
    "booking",
    "booking-worker",
    "email-worker",
    "event",
    "gateway",
    "payment",
    "realtime",
    "ticket",
    "user",
];

/// What a service may build on.
const HOUSE: &[&str] = &["kernel", "wire", "db", "platform"];
/// What puts everything together.
const WHOLE: &[&str] = &["audit", "boxoffice", "infra", "rush", "stripe-sandbox", "testkit", "web"];

/// The same, and the workloads that are measured.
const MEASURED: &[&str] =
    &["audit", "boxoffice", "hot", "infra", "rush", "stripe-sandbox", "testkit", "web"];

/// The members that are no service, and which of ours each may import, the services apart.
const TABLE: [(&str, &[&str]); 15] = [
    ("kernel", &[]),
    ("infra", &[]),
    ("wire", &["kernel"]),
    ("db", &["kernel"]),
    ("platform", &["kernel", "wire", "db"]),
    ("web", &["kernel", "wire", "platform"]),
    ("stripe-sandbox", &["kernel", "db", "platform"]),
    ("testkit", &["kernel", "wire", "db", "platform", "infra"]),
    // Shares no code with what it judges.
    ("audit", &["kernel"]),
    // Knows the platform from outside.
    ("rush", &["kernel", "platform", "infra"]),
    ("boxoffice", &["audit", "rush", "stripe-sandbox", "web"]),
    ("e2e", WHOLE),
    ("hot", &["testkit"]),
    ("bench", MEASURED),
    ("xtask", &["infra"]),
];
/// These may import every service and the whole house beside what the table lists.
const OVER_ALL: [&str; 4] = ["boxoffice", "e2e", "bench", "hot"];
/// What tests alone may import beside that: (who, whom).
const FOR_TESTS: [(&str, &str); 1] = [("payment", "stripe-sandbox")];

pub(super) fn check(crates: &[Crate]) -> Vec<Violation> {
    let mut found = Vec::new();
    for from in crates {
        let known = SERVICES.contains(&from.name.as_str())
            || TABLE.iter().any(|(name, _)| *name == from.name);
        if !known {
            found.push(violation(from, "is not in the import table"));
        }
        for dependency in &from.dependencies {
            let same = |to: &&Crate| to.name.replace('-', "_") == dependency.name;
            let Some(to) = crates.iter().find(same) else { continue };
            if !may_import(&from.name, &to.name, dependency.for_tests) {
                found.push(violation(from, &format!("may not import {}", to.name)));
            }
        }
    }
    found
}

fn violation(at: &Crate, message: &str) -> Violation {
    Violation::new("imports", &format!("{}/Cargo.toml", at.path), 0, message)
}

fn may_import(from: &str, to: &str, for_tests: bool) -> bool {
    let for_any_test = ["testkit", "infra"].contains(&to);
    if for_tests && (for_any_test || FOR_TESTS.contains(&(from, to))) {
        return true;
    }
    if SERVICES.contains(&from) {
        return HOUSE.contains(&to);
    }
    let listed = TABLE.iter().any(|(name, may)| *name == from && may.contains(&to));
    let over_all = OVER_ALL.contains(&from) && (HOUSE.contains(&to) || SERVICES.contains(&to));
    listed || over_all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::Dependency;

    fn member(name: &str, dependencies: &[&str], for_tests: bool) -> Crate {
        let dependencies = dependencies
            .iter()
            .map(|name| Dependency { name: name.replace('-', "_"), for_tests })
            .collect();
        Crate { name: name.to_owned(), path: format!("crates/{name}"), dependencies }
    }

    fn breaches(from: &str, to: &str, for_tests: bool) -> usize {
        check(&[member(from, &[to, "serde"], for_tests), member(to, &[], false)]).len()
    }

    #[test]
    fn an_arrow_that_the_table_lacks_is_found() {
        let wrong = [
            ("kernel", "db"),
            ("wire", "db"),
            ("db", "wire"),
            ("platform", "auth"),
            ("booking", "ticket"),
            ("booking", "web"),
            ("booking", "testkit"),
            ("db", "infra"),
            ("booking-worker", "email-worker"),
            ("web", "booking-worker"),
            ("boxoffice", "testkit"),
            ("stripe-sandbox", "wire"),
            ("audit", "ticket"),
            ("audit", "db"),
            ("xtask", "kernel"),
        ];
        for (from, to) in wrong {
            assert_eq!(breaches(from, to, false), 1, "{from} -> {to}");
        }
        assert_eq!(breaches("booking", "ticket", true), 1, "nor for its tests");
    }

    #[test]
    fn an_arrow_of_the_table_passes() {
        let right = [
            ("platform", "wire"),
            ("booking-worker", "platform"),
            ("web", "wire"),
            ("boxoffice", "booking-worker"),
            ("boxoffice", "web"),
            ("e2e", "boxoffice"),
            ("bench", "testkit"),
        ];
        for (from, to) in right {
            assert_eq!(breaches(from, to, false), 0, "{from} -> {to}");
        }
        assert_eq!(breaches("booking", "testkit", true), 0);
    }

    #[test]
    fn a_crate_nobody_decided_on_is_found() {
        let found = check(&[member("core", &[], false)]);
        assert_eq!(found[0].message, "is not in the import table");
    }
}
