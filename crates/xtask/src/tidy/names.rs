//! Names that say nothing about what is inside.

use super::{Violation, source::Source};

const EMPTY: [&str; 9] =
    ["utils", "common", "helpers", "misc", "base", "manager", "data", "info", "impl"];

/// Of every folder and file on the way to `path`.
pub(super) fn check(path: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    for part in path.split('/') {
        if part == "mod.rs" {
            let message = "a module's file has its module's name";
            found.push(Violation::new("name", path, 0, message));
        }
        let stem = part.split('.').next().unwrap_or(part);
        if EMPTY.contains(&stem) {
            found.push(Violation::new("name", path, 0, format!("`{stem}` says nothing")));
        }
    }
    found
}

/// Of the modules inside a file.
pub(super) fn check_modules(source: &Source<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for (at, line) in source.code.iter().enumerate() {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        let is_module = words.any(|word| word == "mod");
        let Some(name) = words.next().filter(|name| is_module && EMPTY.contains(name)) else {
            continue;
        };
        found.push(Violation::new("name", source.path, at + 1, format!("`{name}` says nothing")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::File;

    #[test]
    fn an_empty_name_is_found_wherever_it_stands() {
        let wrong = [
            "crates/common/src/lib.rs",
            "crates/user/src/utils.rs",
            "crates/user/src/data/rows.rs",
            "crates/user/src/ops/mod.rs",
            "crates/web/templates/base.html",
        ];
        for path in wrong {
            assert_eq!(check(path).len(), 1, "{path}");
        }
        assert_eq!(check("crates/user/src/database.rs"), []);
        for (text, count) in
            [("pub(crate) mod helpers {", 1), ("mod info;", 1), ("use data;", 0), ("mod seats;", 0)]
        {
            let file = File { path: "crates/a/src/lib.rs".to_owned(), text: text.to_owned() };
            assert_eq!(check_modules(&Source::new(&file)).len(), count, "{text}");
        }
    }
}
