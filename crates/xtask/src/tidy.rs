//! `cargo xtask tidy`: what the project holds itself to and no lint knows. Every rule is a function
//! from what was read to what is wrong, with a test that plants a violation; the last test here
//! holds the tree itself.

mod architecture;
mod exceptions;
mod homes;
mod imports;
mod limits;
mod names;
mod source;
mod tree;
mod words;

use std::fmt;

use crate::step::{self, Failure};
use source::Source;
use tree::Tree;

/// One breach of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Violation {
    rule: &'static str,
    path: String,
    /// From 1; 0 where the whole file or crate is meant.
    line: usize,
    message: String,
}

impl Violation {
    fn new(rule: &'static str, path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { rule, path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, path, line, message } = self;
        write!(f, "{path}:{line}: {rule}: {message}")
    }
}

/// Checks this checkout.
pub(crate) fn run() -> Result<(), Failure> {
    let tree = Tree::read(&step::root())?;
    let found = check(&tree);
    if found.is_empty() {
        println!("xtask: {} files of {} crates are tidy", tree.files.len(), tree.crates.len());
        return Ok(());
    }
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    Err(Failure::new(format!("{} violations\n{}", found.len(), lines.join("\n"))))
}

/// What is wrong in `tree`, in order of place, less what is excepted.
fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = imports::check(&tree.crates);
    found.extend(architecture::check(tree.architecture.as_deref(), &tree.crates));
    let mut sources = Vec::new();
    for file in &tree.files {
        found.extend(names::check(&file.path));
        found.extend(words::check_text(file));
        if file.path.ends_with(".rs") {
            sources.push(Source::new(file));
        }
    }
    for source in &sources {
        found.extend(limits::check_file(source));
        found.extend(words::check_code(source));
        found.extend(names::check_modules(source));
        found.extend(homes::check(source, &tree.crates));
    }
    found.extend(limits::check_services(&sources, &tree.crates));
    let mut found = exceptions::apply(found);
    found.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let tree = Tree::read(&step::root()).expect("a readable checkout");
        assert!(tree.files.len() > 50, "the checkout has files: {}", tree.files.len());
        let lines: Vec<String> = check(&tree).iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "{} violations\n{}", lines.len(), lines.join("\n"));
    }
}
