//! A Rust file taken apart just far enough for tidy: its code without comments and texts, its text
//! literals, and which of its lines are tests.

use super::tree::File;

/// One Rust file.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) path: &'a str,
    pub(super) text: &'a str,
    /// The text, line for line, without comments and with every text literal emptied.
    pub(super) code: Vec<String>,
    pub(super) literals: Vec<Literal>,
    /// Of each line, whether it belongs to tests.
    tests: Vec<bool>,
}

/// A text literal, and the line (from 1) where it begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Literal {
    pub(super) line: usize,
    pub(super) text: String,
}

impl<'a> Source<'a> {
    pub(super) fn new(file: &'a File) -> Self {
        let mut scanner = Scanner { rest: &file.text, code: String::new(), literals: Vec::new() };
        while scanner.step() {}
        let code: Vec<String> = scanner.code.lines().map(str::to_owned).collect();
        let tests = test_lines(&file.path, &code);
        let literals = scanner.literals;
        Self { path: &file.path, text: &file.text, code, literals, tests }
    }

    /// Whether `line` (from 1) belongs to tests.
    pub(super) fn is_test(&self, line: usize) -> bool {
        self.tests.get(line.saturating_sub(1)).copied().unwrap_or(false)
    }

    /// The lines of code outside tests, numbered from 1.
    pub(super) fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.code.iter().enumerate().map(|(at, line)| (at + 1, line.as_str()));
        numbered.filter(|(line, _)| !self.is_test(*line))
    }
}

/// A file is all tests by its place; elsewhere they are the items of the first column under
/// `#[cfg(test)]`, each of which ends as rustfmt writes it: with its own line, or with a `}` in the
/// first column.
fn test_lines(path: &str, code: &[String]) -> Vec<bool> {
    if path.contains("/tests/") || path.ends_with("/tests.rs") {
        return vec![true; code.len()];
    }
    let mut inside = false;
    let mut found = Vec::with_capacity(code.len());
    for line in code {
        inside = inside || line.starts_with("#[cfg(test)]");
        found.push(inside);
        let item = !line.starts_with(['#', ' ', '}']) && !line.is_empty();
        let ends = line.starts_with('}') || (item && line.trim_end().ends_with([';', '}']));
        inside = inside && !ends;
    }
    found
}

struct Scanner<'a> {
    rest: &'a str,
    code: String,
    literals: Vec<Literal>,
}

impl<'a> Scanner<'a> {
    /// Takes the next comment, literal or character; false at the end.
    fn step(&mut self) -> bool {
        let Some(next) = self.rest.chars().next() else { return false };
        if self.rest.starts_with("//") {
            self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.block_comment();
        } else if let Some((prefix, hashes)) = self.raw_literal() {
            let end = format!("\"{}", "#".repeat(hashes));
            self.take(prefix);
            let length = self.rest.find(&end).unwrap_or(self.rest.len());
            self.literal(length, end.len());
        } else if next == '"' {
            self.take(1);
            self.literal(quoted_length(self.rest), 1);
        } else if next == '\'' {
            self.quote();
        } else {
            self.keep(next.len_utf8());
        }
        true
    }

    /// Takes `length` bytes; of them only the line breaks stay in the code.
    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.code.extend(taken.matches('\n'));
        self.rest = rest;
        taken
    }

    fn keep(&mut self, length: usize) {
        let (kept, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.code.push_str(kept);
        self.rest = rest;
    }

    fn literal(&mut self, length: usize, end: usize) {
        let line = self.code.matches('\n').count() + 1;
        self.code.push_str("\"\"");
        let text = self.take(length).to_owned();
        self.take(end);
        self.literals.push(Literal { line, text });
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.take(2);
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.take(2);
            } else if let Some(next) = self.rest.chars().next() {
                self.take(next.len_utf8());
            }
            if depth == 0 || self.rest.is_empty() {
                return;
            }
        }
    }

    /// The bytes before the text of a raw literal that begins here, and its number of hashes.
    fn raw_literal(&self) -> Option<(usize, usize)> {
        let after_word = self.code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if after_word {
            return None;
        }
        let letters = ["r", "br", "cr"].into_iter().find_map(|p| self.rest.strip_prefix(p))?;
        let text = letters.trim_start_matches('#');
        let hashes = letters.len() - text.len();
        text.starts_with('"').then_some((self.rest.len() - text.len() + 1, hashes))
    }

    /// A character literal is emptied; the tick of a lifetime stays.
    fn quote(&mut self) {
        let mut chars = self.rest.char_indices().skip(1);
        let first = chars.next().map(|(_, c)| c);
        let second = chars.next();
        let length = match (first, second) {
            (Some('\\'), Some((at, _))) => {
                let tail = self.rest.get(at + 1..).and_then(|tail| tail.find('\''));
                tail.map(|more| at + 1 + more + 1)
            }
            (_, Some((at, '\''))) => Some(at + 1),
            _ => None,
        };
        match length {
            Some(length) => {
                self.take(length);
                self.code.push_str("' '");
            }
            None => self.keep(1),
        }
    }
}

/// The bytes before the closing quote of an ordinary literal.
fn quoted_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn comments_and_texts_are_told_from_code() {
        let text = r##"let a = "x // \" y"; // no "text"
/* /* "nested" */
*/ let b = r#"raw " text"#; let c = b"\\"; call(for_"");
"##;
        let file = file("crates/a/src/lib.rs", text);
        let source = Source::new(&file);
        let texts: Vec<_> = source.literals.iter().map(|l| (l.line, l.text.as_str())).collect();
        assert_eq!(texts, [(1, "x // \\\" y"), (3, "raw \" text"), (3, "\\\\"), (3, "")]);
        assert_eq!(
            source.code,
            ["let a = \"\"; ", "", " let b = \"\"; let c = b\"\"; call(for_\"\");"]
        );
    }

    #[test]
    fn characters_and_lifetimes_do_not_open_texts() {
        let text =
            "fn f<'a>(x: &'a str) { g('\"', '\\'', '\\u{1}', b'x', '/'); h(\"last\ntwo\") }\n";
        let file = file("crates/a/src/lib.rs", text);
        let source = Source::new(&file);
        assert_eq!(source.literals, [Literal { line: 1, text: "last\ntwo".into() }]);
        assert!(source.code[0].starts_with("fn f<'a>(x: &'a str) { g(' ', ' ', ' ', b' ', ' '"));
        assert_eq!(source.code[1], ") }");
    }

    #[test]
    fn test_items_are_told_from_what_ships() {
        let text = "fn a() {}\n#[cfg(test)]\nuse x::Y;\nfn b() {}\n#[cfg(test)]\nmod tests {\n    \
                    fn c() {}\n}\nfn d() {}\n";
        let file_a = file("crates/a/src/lib.rs", text);
        let shipped: Vec<_> = Source::new(&file_a).shipped().map(|(line, _)| line).collect();
        assert_eq!(shipped, [1, 4, 9]);
        let file_b = file("crates/a/tests/it.rs", text);
        assert_eq!(Source::new(&file_b).shipped().count(), 0);
    }
}
