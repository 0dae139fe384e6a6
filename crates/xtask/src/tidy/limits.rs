//! How long a line, a file and a service may grow.

use super::{Violation, imports::SERVICES, source::Source, tree::Crate};

const COLUMNS: usize = 100;
const FILE_LINES: usize = 600;
const FILE_LINES_WITHOUT_TESTS: usize = 400;
const SERVICE_LINES: usize = 6_000;
const SERVICE_VERBS: usize = 25;

pub(super) fn check_file(source: &Source<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for (at, line) in source.text.lines().enumerate() {
        let columns = line.chars().count();
        if columns > COLUMNS {
            let message = format!("{columns} columns, the limit is {COLUMNS}");
            found.push(Violation::new("columns", source.path, at + 1, message));
        }
    }
    let lines = source.text.lines().count();
    let shipped = source.shipped().count();
    if lines > FILE_LINES || shipped > FILE_LINES_WITHOUT_TESTS {
        let message = format!(
            "{lines} lines ({shipped} without tests), the limit is {FILE_LINES} \
             ({FILE_LINES_WITHOUT_TESTS})"
        );
        found.push(Violation::new("file-lines", source.path, 0, message));
    }
    found
}

pub(super) fn check_services(sources: &[Source<'_>], crates: &[Crate]) -> Vec<Violation> {
    let mut found = Vec::new();
    for service in crates.iter().filter(|member| SERVICES.contains(&member.name.as_str())) {
        let home = format!("{}/src/", service.path);
        let own = || sources.iter().filter(|source| source.path.starts_with(&home));
        let lines: usize = own().map(|source| source.shipped().count()).sum();
        if lines > SERVICE_LINES {
            let message =
                format!("{lines} lines without tests, the limit of a service is {SERVICE_LINES}");
            found.push(Violation::new("service-lines", &service.path, 0, message));
        }
        let ops = format!("{home}ops/");
        let verbs = own().filter(|source| source.path.starts_with(&ops)).count();
        if verbs > SERVICE_VERBS {
            let message = format!("{verbs} verbs, the limit of a service is {SERVICE_VERBS}");
            found.push(Violation::new("service-verbs", &service.path, 0, message));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::File;

    fn lines(count: usize) -> File {
        File { path: "crates/user/src/app.rs".to_owned(), text: "a();\n".repeat(count) }
    }

    fn rules(found: &[Violation]) -> Vec<&str> {
        found.iter().map(|violation| violation.rule).collect()
    }

    #[test]
    fn a_long_line_and_a_long_file_are_found() {
        let wide = File { path: "a.rs".to_owned(), text: "ü".repeat(101) };
        assert_eq!(rules(&check_file(&Source::new(&wide))), ["columns"]);
        let narrow = File { path: "a.rs".to_owned(), text: "ü".repeat(100) };
        assert_eq!(check_file(&Source::new(&narrow)), []);
        assert_eq!(rules(&check_file(&Source::new(&lines(401)))), ["file-lines"]);
        assert_eq!(check_file(&Source::new(&lines(400))), []);
    }

    #[test]
    fn tests_lengthen_a_file_only_to_its_second_limit() {
        let with_tests = |tests: usize| {
            let mut file = lines(300);
            file.text += "#[cfg(test)]\nmod tests {\n";
            file.text += &"    a();\n".repeat(tests);
            file.text += "}\n";
            check_file(&Source::new(&file)).len()
        };
        assert_eq!((with_tests(297), with_tests(298)), (0, 1));
    }

    #[test]
    fn a_service_that_grew_too_large_is_found() {
        let crates = [Crate {
            name: "user".to_owned(),
            path: "crates/user".to_owned(),
            dependencies: Vec::new(),
        }];
        let files = [lines(3_000), lines(3_001)];
        let sources: Vec<_> = files.iter().map(Source::new).collect();
        assert_eq!(rules(&check_services(&sources, &crates)), ["service-lines"]);
        assert_eq!(check_services(&sources[..1], &crates), []);
        let verb = |n: usize| File {
            path: format!("crates/user/src/ops/verb{n}.rs"),
            text: "//! A verb.\n".to_owned(),
        };
        let files: Vec<_> = (0..26).map(verb).collect();
        let sources: Vec<_> = files.iter().map(Source::new).collect();
        assert_eq!(rules(&check_services(&sources, &crates)), ["service-verbs"]);
        assert_eq!(check_services(&sources[1..], &crates), []);
    }
}
