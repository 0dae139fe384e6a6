//! Words that must open a file, and words that must not be in one.

use super::{Violation, source::Source, tree::File};

/// Left-over work. Written apart, so that this file may be looked at too.
const LEFT_OVER: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
const UNFINISHED: [&str; 2] = ["todo!", "unimplemented!"];
const OPENINGS: [&str; 2] = ["//!", "#![doc = include_str!("];

pub(super) fn check_text(file: &File) -> Vec<Violation> {
    let mut found = Vec::new();
    for (at, line) in file.text.lines().enumerate() {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        // A whole text is a value: ISO 4217 has a currency that reads like a left-over.
        let is_value = |word: &str| line.contains(&format!("\"{word}\""));
        if let Some(word) = words.find(|word| LEFT_OVER.contains(word) && !is_value(word)) {
            let message = format!("`{word}`: do it, or write an issue");
            found.push(Violation::new("left-over", &file.path, at + 1, message));
        }
    }
    found
}

pub(super) fn check_code(source: &Source<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    if !OPENINGS.iter().any(|opening| source.text.starts_with(opening)) {
        let message = "a file begins with a `//!` sentence: what it is for, or must never do";
        found.push(Violation::new("opening", source.path, 1, message));
    }
    for (at, line) in source.code.iter().enumerate() {
        if let Some(name) = UNFINISHED.iter().find(|name| line.contains(*name)) {
            let message = format!("`{name}` is not done");
            found.push(Violation::new("unfinished", source.path, at + 1, message));
        }
        if line.contains("#[allow(") || line.contains("#![allow(") {
            let message = "`expect` with a reason a reader can check, never `allow`";
            found.push(Violation::new("allow", source.path, at + 1, message));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<&'static str> {
        let file = File { path: "crates/user/src/app.rs".to_owned(), text: text.to_owned() };
        let mut found = check_text(&file);
        found.extend(check_code(&Source::new(&file)));
        found.into_iter().map(|violation| violation.rule).collect()
    }

    #[test]
    fn each_word_is_found_where_it_counts_and_only_there() {
        for word in LEFT_OVER {
            assert_eq!(rules(&format!("//! A.\n// {word}: later\n")), ["left-over"]);
            assert_eq!(rules(&format!("//! A.\n// BKG-{word}X\n")), [""; 0]);
            assert_eq!(rules(&format!("//! A.\nlet none = \"{word}\";\n")), [""; 0]);
        }
        assert_eq!(rules("//! A.\nfn f() { todo!() }\n"), ["unfinished"]);
        assert_eq!(rules("//! A.\nfn f() { unimplemented!() }\n"), ["unfinished"]);
        assert_eq!(rules("//! A.\n#[allow(dead_code)]\nfn f() {}\n"), ["allow"]);
        assert_eq!(rules("#![allow(dead_code)]\n"), ["opening", "allow"]);
        assert_eq!(rules("use std::fmt;\n"), ["opening"]);
        assert_eq!(rules("#![doc = include_str!(\"../README.md\")]\n"), [""; 0]);
        assert_eq!(rules("//! No `#[allow(x)]`, no todo!().\nlet a = \"todo!()\";\n"), [""; 0]);
    }
}
