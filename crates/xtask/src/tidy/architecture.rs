//! ARCHITECTURE.md's table of crates says what cargo says.

use super::{Violation, tree::Crate};

const PATH: &str = "ARCHITECTURE.md";

pub(super) fn check(text: Option<&str>, crates: &[Crate]) -> Vec<Violation> {
    let Some(text) = text else {
        return vec![Violation::new("architecture", PATH, 0, "is missing")];
    };
    let listed: Vec<(usize, &str)> =
        text.lines().enumerate().filter_map(|(at, row)| Some((at + 1, listed(row)?))).collect();
    let mut found = Vec::new();
    for member in crates {
        let times = listed.iter().filter(|(_, path)| *path == member.path).count();
        if times != 1 {
            let message = format!("lists `{}` {times} times, not once", member.path);
            found.push(Violation::new("architecture", PATH, 0, message));
        }
    }
    for (line, path) in listed {
        let in_crates = path.strip_prefix("crates/").is_some_and(|name| !name.contains('/'));
        if in_crates && !crates.iter().any(|member| member.path == path) {
            let message = format!("`{path}` is no member of the workspace");
            found.push(Violation::new("architecture", PATH, line, message));
        }
    }
    found
}

/// The path in backticks that is the first cell of a table's row.
fn listed(row: &str) -> Option<&str> {
    let cell = row.trim().strip_prefix('|')?.split('|').next()?.trim();
    let path = cell.strip_prefix('`')?.strip_suffix('`')?;
    Some(path.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(path: &str) -> Crate {
        Crate { name: path.to_owned(), path: path.to_owned(), dependencies: Vec::new() }
    }

    #[test]
    fn a_row_too_few_and_a_row_too_many_are_found() {
        let crates = [member("crates/db"), member("crates/wire"), member("bench")];
        let table = "| crate | is |\n|---|---|\n| `crates/db` | SQL |\n| `crates/gone` | old |\n\
                     | `crates/db/src/tx.rs` | a file |\n| `bench/` | |\n";
        let found = check(Some(table), &crates);
        let messages: Vec<_> = found.iter().map(|v| (v.line, v.message.as_str())).collect();
        let expected = [
            (0, "lists `crates/wire` 0 times, not once"),
            (4, "`crates/gone` is no member of the workspace"),
        ];
        assert_eq!(messages, expected);
        assert_eq!(check(None, &crates).len(), 1);
        let right = "| `crates/db` |\n| `crates/wire` |\n| `bench` |";
        assert_eq!(check(Some(right), &crates), []);
    }
}
