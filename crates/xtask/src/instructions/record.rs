//! What was recorded, by architecture and workload, and how a new count compares.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
};

/// Instructions by workload.
pub(super) type Counts = BTreeMap<String, u64>;

/// The file: a table an architecture.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Record(BTreeMap<String, Counts>);

/// What a comparison has found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// What must not be.
    pub wrong: Vec<String>,
    /// What somebody may want to know.
    pub notes: Vec<String>,
}

/// How much more than recorded is still the same, in percent: the seeds of hash tables and the
/// alignment of memory differ from run to run.
const TOLERANCE_PERCENT: u64 = 3;
const HEAD: &str = "\
# Instructions of the hot parts (crates/hot), each done once, in release, as callgrind counts them.
# `cargo xtask instructions` compares, `cargo xtask instructions --record` writes anew.
";

impl Record {
    /// Reads the file's text: `[architecture]`, then lines `workload = count`.
    ///
    /// # Errors
    /// The line that is neither.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut tables: BTreeMap<String, Counts> = BTreeMap::new();
        let mut table = None;
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                table = Some(tables.entry(name.to_owned()).or_default());
                continue;
            }
            let entry = line.split_once('=').and_then(|(name, count)| {
                Some((name.trim().to_owned(), count.trim().replace('_', "").parse().ok()?))
            });
            match (&mut table, entry) {
                (Some(table), Some((name, count))) => {
                    table.insert(name, count);
                }
                _ => return Err(format!("{line:?} is no count")),
            }
        }
        Ok(Self(tables))
    }

    /// What is recorded for an architecture.
    pub(super) fn of(&self, architecture: &str) -> Option<&Counts> {
        self.0.get(architecture)
    }

    /// Records these counts, and no others, for an architecture.
    pub(super) fn set(&mut self, architecture: &str, counts: Counts) {
        self.0.insert(architecture.to_owned(), counts);
    }
}

impl Display for Record {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(HEAD)?;
        for (architecture, counts) in &self.0 {
            writeln!(f, "\n[{architecture}]")?;
            for (name, count) in counts {
                writeln!(f, "{name} = {count}")?;
            }
        }
        Ok(())
    }
}

/// Where `counted` is not as `recorded`.
pub(super) fn compare(recorded: &Counts, counted: &Counts) -> Findings {
    let mut findings = Findings::default();
    for (name, count) in counted {
        let Some(before) = recorded.get(name) else {
            findings.wrong.push(format!("{name}: {count} instructions, and none are recorded"));
            continue;
        };
        let percent = (*count as f64 / (*before).max(1) as f64 - 1.0) * 100.0;
        let told =
            format!("{name}: {count} instructions, {percent:+.1} % against {before} recorded");
        if count * 100 > before * (100 + TOLERANCE_PERCENT) {
            findings.wrong.push(told);
        } else if count * 100 < before * (100 - TOLERANCE_PERCENT) {
            findings.notes.push(told + ": record it, so that it stays so");
        } else {
            findings.notes.push(told);
        }
    }
    let gone = recorded.keys().filter(|name| !counted.contains_key(*name));
    findings.wrong.extend(gone.map(|name| format!("{name}: is recorded, and not there any more")));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(entries: &[(&str, u64)]) -> Counts {
        entries.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn what_grew_fails_and_what_is_within_the_tolerance_does_not() {
        let recorded = counts(&[("ids", 1_000), ("seal", 1_000), ("money", 1_000)]);
        let counted = counts(&[("ids", 1_030), ("seal", 1_031), ("money", 500)]);
        let found = compare(&recorded, &counted);
        assert_eq!(found.wrong, ["seal: 1031 instructions, +3.1 % against 1000 recorded"]);
        assert_eq!(found.notes.len(), 2);
        assert!(
            found.notes.iter().any(|note| note.starts_with("money: 500 instructions, -50.0 %"))
        );
        let same = compare(&recorded, &recorded);
        assert!(same.wrong.is_empty(), "{same:?}");
    }

    #[test]
    fn what_is_not_recorded_or_not_counted_fails() {
        let found = compare(&counts(&[("gone", 1)]), &counts(&[("new", 2)]));
        assert_eq!(found.wrong.len(), 2, "{found:?}");
        assert!(found.wrong.iter().any(|line| line.starts_with("new: ")));
        assert!(found.wrong.iter().any(|line| line.starts_with("gone: ")));
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let mut record = Record::default();
        record.set("x86_64", counts(&[("ids", 7), ("seal", 1_234_567)]));
        record.set("aarch64", counts(&[("ids", 8)]));
        assert_eq!(Record::read(&record.to_string()), Ok(record));
        let read = Record::read("# said\n[x86_64]\nids = 1_000\n").unwrap();
        assert_eq!(read.of("x86_64"), Some(&counts(&[("ids", 1_000)])));
        assert_eq!(read.of("riscv64"), None);
        for wrong in ["ids = 1", "[x86_64]\nids = many", "[x86_64]\nids"] {
            assert!(Record::read(wrong).is_err(), "{wrong}");
        }
    }
}
