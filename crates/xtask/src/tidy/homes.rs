//! What has one home inside a service: SQL in `store`, decisions in `domain`, wire shapes at the
//! faces; and that no arrow between these rooms runs back.

use super::{Violation, imports::SERVICES, source::Source, tree::Crate};

/// Crates that are the home of SQL, or that are no part of the product.
const SQL_HOMES: [&str; 10] = [
    "audit",
    "bench",
    "db",
    "e2e",
    "infra",
    "platform",
    "rush",
    "stripe-sandbox",
    "testkit",
    "xtask",
];
/// All that a decision may build on beside the standard library.
const DOMAIN_IMPORTS: [&str; 2] = ["kernel", "thiserror"];
/// What a store never sees: the shapes and protocols of the outside.
const OUTSIDE: [&str; 4] = ["wire", "tonic", "axum", "prost"];
/// Room by room, the rooms of the same service it must not reach into.
const NO_WAY_BACK: [(&str, &[&str]); 3] = [
    ("domain", &["app", "consumers", "events", "grpc", "http", "ops", "saga", "store", "tasks"]),
    ("store", &["app", "consumers", "grpc", "http", "ops", "saga", "tasks"]),
    ("ops", &["consumers", "grpc", "http", "tasks"]),
];

pub(super) fn check(source: &Source<'_>, crates: &[Crate]) -> Vec<Violation> {
    let inside = |member| Some((member, within(source.path, member)?));
    let Some((home, path)) = crates.iter().find_map(inside) else { return Vec::new() };
    let room = room(path);
    let mut found = Vec::new();
    if room != "store" && !SQL_HOMES.contains(&home.name.as_str()) {
        found.extend(sql(source));
    }
    if SERVICES.contains(&home.name.as_str()) {
        found.extend(imports(source, room, home));
        found.extend(ways_back(source, room));
    }
    found
}

fn within<'a>(path: &'a str, member: &Crate) -> Option<&'a str> {
    path.strip_prefix(&member.path)?.strip_prefix('/')
}

/// `src/store.rs` and `src/store/seats.rs` are the room `store`.
fn room(path: &str) -> &str {
    let inner = path.strip_prefix("src/").unwrap_or(path);
    inner.split(['/', '.']).next().unwrap_or(inner)
}

fn sql(source: &Source<'_>) -> Vec<Violation> {
    let shipped = source.literals.iter().filter(|literal| !source.is_test(literal.line));
    let statements = shipped.filter(|literal| is_sql(&literal.text));
    statements
        .map(|literal| Violation::new("sql", source.path, literal.line, "only `store` holds SQL"))
        .collect()
}

/// Whether a text reads as a statement, and not as a sentence that begins with the same word.
fn is_sql(text: &str) -> bool {
    let text = text.replace("\\n", " ").replace('\\', " ").to_ascii_lowercase();
    let mut words = text.split_whitespace();
    let first = words.next().unwrap_or_default();
    let second = words.clone().next().unwrap_or_default();
    match first {
        "select" => {
            words.any(|word| word == "from") || second.starts_with(|c: char| c.is_ascii_digit())
        }
        "insert" => second == "into" || second == "or",
        "update" => words.any(|word| word == "set"),
        "delete" => second == "from",
        "with" => second == "recursive" || words.any(|word| word == "as"),
        _ => false,
    }
}

fn imports(source: &Source<'_>, room: &str, home: &Crate) -> Vec<Violation> {
    let mut found = Vec::new();
    let named = |line: &str, name: &str| roots(line).any(|root| root == name);
    for (at, line) in source.shipped() {
        for name in home.dependencies.iter().map(|dependency| dependency.name.as_str()) {
            let banned = match room {
                "domain" => !DOMAIN_IMPORTS.contains(&name),
                "store" => OUTSIDE.contains(&name),
                _ => false,
            };
            if banned && named(line, name) {
                let message = format!("`{room}` may not use `{name}`");
                found.push(Violation::new("room", source.path, at, message));
            }
        }
    }
    found
}

fn ways_back(source: &Source<'_>, room: &str) -> Vec<Violation> {
    let banned = NO_WAY_BACK.iter().find(|(from, _)| *from == room).map_or(&[][..], |(_, to)| to);
    let reached = rooms_reached(source);
    let wrong = reached.iter().filter(|(_, to)| banned.contains(&to.as_str()));
    wrong
        .map(|(at, to)| {
            let message = format!("`{room}` may not reach back into `{to}`");
            Violation::new("room", source.path, *at, message)
        })
        .collect()
}

/// The first names after `crate::`, one by one where braces hold several, and the line of each
/// `crate::`.
fn rooms_reached(source: &Source<'_>) -> Vec<(usize, String)> {
    let lines: Vec<(usize, &str)> = source.shipped().collect();
    let mut found = Vec::new();
    for (index, (at, line)) in lines.iter().enumerate() {
        for (start, _) in line.match_indices("crate::") {
            let below = lines.iter().skip(index + 1).flat_map(|(_, line)| line.chars());
            let rest = line.get(start + "crate::".len()..).unwrap_or_default();
            let names = leading_names(rest.chars().chain(below));
            found.extend(names.into_iter().map(|name| (*at, name)));
        }
    }
    found
}

/// `a::b` leads with `a`; `{a::{x, y}, b}` with `a` and `b`.
fn leading_names(text: impl Iterator<Item = char>) -> Vec<String> {
    let mut names = vec![String::new()];
    let (mut depth, mut leads) = (0_usize, true);
    for c in text {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 1 => {
                names.push(String::new());
                leads = true;
            }
            c if leads && (c.is_alphanumeric() || c == '_') => {
                if let Some(name) = names.last_mut() {
                    name.push(c);
                }
            }
            c if c.is_whitespace() => leads = leads && names.last().is_some_and(String::is_empty),
            _ => leads = false,
        }
        if depth == 0 && (c == '}' || !leads) {
            break;
        }
    }
    names
}

/// The first names of the paths in a line: of `use a::b; c::<d::E>` these are `a`, `c` and `d`.
fn roots(line: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices("::").filter_map(move |(at, _)| {
        let before = line.get(..at)?;
        let start = before.rfind(|c| !is_name(c)).map_or(0, |last| last + 1);
        let leads = !before.get(..start)?.ends_with("::");
        leads.then(|| before.get(start..))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::{Dependency, File};

    fn found(path: &str, text: &str) -> Vec<String> {
        let dependency =
            |name: &str| Dependency { name: name.to_owned(), for_tests: name == "proptest" };
        let names = ["db", "kernel", "serde", "thiserror", "tonic", "wire", "proptest"];
        let member = |name: &str| Crate {
            name: name.to_owned(),
            path: format!("crates/{name}"),
            dependencies: names.into_iter().map(dependency).collect(),
        };
        let file = File { path: path.to_owned(), text: text.to_owned() };
        let crates = ["booking", "booking-worker", "db", "web"].map(member);
        let violations = check(&Source::new(&file), &crates);
        violations.into_iter().map(|violation| violation.message).collect()
    }

    #[test]
    fn sql_outside_its_home_is_found() {
        let statements = [
            "select id from bookings",
            "\\n  SELECT 1",
            "insert into bookings values ($1)",
            "update bookings set status = $1",
            "DELETE FROM bookings",
            "with due as (select 1) update a set b = 1",
        ];
        for statement in statements {
            let text = format!("//! A.\nconst A: &str = \"{statement}\";\n");
            let wrong = ["crates/booking/src/ops/open_booking.rs", "crates/web/src/lib.rs"];
            for path in wrong {
                assert_eq!(found(path, &text), ["only `store` holds SQL"], "{statement}");
            }
            let right = [
                "crates/booking/src/store.rs",
                "crates/booking/src/store/due.rs",
                "crates/booking/tests/it.rs",
                "crates/db/src/migrate.rs",
            ];
            for path in right {
                assert_eq!(found(path, &text), [""; 0], "{path}");
            }
        }
        for sentence in ["select a seat", "update refused", "with 2 seats", "delete it"] {
            let text = format!("const A: &str = \"{sentence}\";");
            assert_eq!(found("crates/booking/src/grpc.rs", &text), [""; 0], "{sentence}");
        }
    }

    #[test]
    fn a_room_that_sees_too_much_is_found() {
        let path = "crates/booking/src/domain/status.rs";
        assert_eq!(found(path, "use serde::Serialize;"), ["`domain` may not use `serde`"]);
        assert_eq!(found(path, "fn f(_: &mut db::Tx) {}"), ["`domain` may not use `db`"]);
        let text = "use kernel::Money;\nuse std::fmt;\nuse super::tonic::X;\n#[cfg(test)]\nmod \
                    tests {\n    use proptest::prelude::*;\n}\n";
        assert_eq!(found(path, text), [""; 0]);
        let path = "crates/booking/src/store.rs";
        assert_eq!(found(path, "use wire::booking::v1 as pb;"), ["`store` may not use `wire`"]);
        assert_eq!(found(path, "use db::Tx;"), [""; 0]);
        assert_eq!(found("crates/booking/src/grpc.rs", "use wire::booking::v1 as pb;"), [""; 0]);
    }

    #[test]
    fn an_arrow_back_is_found() {
        let wrong = [
            ("domain/status.rs", "use crate::store;"),
            ("store/due.rs", "fn f() -> crate::ops::Opened {"),
            ("ops/open_booking.rs", "use crate::grpc::decode;"),
            ("ops/open_booking.rs", "use crate::{\n    domain::{self, tasks},\n    grpc,\n};"),
        ];
        for (file, line) in wrong {
            assert_eq!(found(&format!("crates/booking/src/{file}"), line).len(), 1, "{line}");
        }
        let right = [
            ("ops/open_booking.rs", "use crate::store;"),
            ("grpc.rs", "use crate::ops;"),
            ("ops/open_booking.rs", "use crate::{domain::{self, grpc}, store};\nfn http() {}"),
        ];
        for (file, line) in right {
            assert_eq!(found(&format!("crates/booking/src/{file}"), line), [""; 0], "{line}");
        }
    }
}
