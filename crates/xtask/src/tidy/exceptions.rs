//! What may differ, and why. An exception that nothing needs any more is a violation itself.

use super::Violation;

/// One rule that one path may break.
struct Exception {
    rule: &'static str,
    path: &'static str,
    /// Checkable by whoever reads it.
    reason: &'static str,
}

const EXCEPTIONS: &[Exception] = &[];

/// Takes the excepted out of `found`, and adds the exceptions without use.
pub(super) fn apply(found: Vec<Violation>) -> Vec<Violation> {
    apply_table(EXCEPTIONS, found)
}

fn apply_table(table: &[Exception], found: Vec<Violation>) -> Vec<Violation> {
    let covers = |exception: &Exception, violation: &Violation| {
        exception.rule == violation.rule && exception.path == violation.path
    };
    let unused = table.iter().filter(|one| !found.iter().any(|violation| covers(one, violation)));
    let unused: Vec<Violation> = unused
        .map(|one| {
            let message =
                format!("no exception to {} is needed any more ({})", one.rule, one.reason);
            Violation::new("exception", one.path, 0, message)
        })
        .collect();
    let rest =
        found.into_iter().filter(|violation| !table.iter().any(|one| covers(one, violation)));
    rest.chain(unused).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_covers_its_rule_at_its_path_and_must_be_of_use() {
        let table = [Exception { rule: "columns", path: "a.rs", reason: "a table of numbers" }];
        let at = |rule, path| Violation::new(rule, path, 1, "");
        let found = vec![at("columns", "a.rs"), at("columns", "b.rs"), at("opening", "a.rs")];
        assert_eq!(apply_table(&table, found), [at("columns", "b.rs"), at("opening", "a.rs")]);
        let found = apply_table(&table, Vec::new());
        assert_eq!((found[0].rule, found[0].path.as_str()), ("exception", "a.rs"));
    }
}
