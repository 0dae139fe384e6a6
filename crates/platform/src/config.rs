//! Configuration: one typed tree from defaults, `boxoffice.toml`, `BOXOFFICE__…` variables and
//! flags, in this order.

use std::{ffi::OsString, fmt, path::Path};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// What the names of our environment variables begin with; `__` stands between sections and keys,
/// `_` for `-`.
const PREFIX: &str = "BOXOFFICE__";

/// A configuration that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{path}: {detail}")]
    File {
        /// The file's path.
        path: String,
        /// What is wrong.
        detail: String,
    },
    /// No such key, or a value of the wrong kind.
    #[error("{key}: {detail}")]
    Key {
        /// The key with its section: `booking.hold_ttl_seconds`.
        key: String,
        /// What is wrong.
        detail: String,
    },
}

/// The configuration tree while it is put together: sections of keys. An empty text stands for "not
/// set".
#[derive(Debug, Clone, Default)]
pub struct Tree(Table);

impl Tree {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a section with its defaults, from the text of the service's `config.toml`. Only keys
    /// that stand in defaults exist; to set any other is an error.
    ///
    /// # Errors
    /// If the text is not TOML.
    pub fn defaults(&mut self, section: &str, text: &str) -> Result<(), ConfigError> {
        let table: Table = text.parse().map_err(|error| wrong(section, one_line(&error)))?;
        self.0.insert(section.to_owned(), Value::Table(table));
        Ok(())
    }

    /// Overlays a file.
    ///
    /// # Errors
    /// If it can't be read, or sets a key that doesn't exist or has another type.
    pub fn file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let wrong_file =
            |detail: String| ConfigError::File { path: path.display().to_string(), detail };
        let text = std::fs::read_to_string(path).map_err(|error| wrong_file(error.to_string()))?;
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            wrong_file(format!("line {}: {}", before.lines().count().max(1), one_line(&error)))
        })?;
        let mut overlaid = self.0.clone();
        merge(&mut overlaid, table, "").map_err(|error| wrong_file(error.to_string()))?;
        self.0 = overlaid;
        Ok(())
    }

    /// Overlays the process environment's `BOXOFFICE__SECTION__KEY=value` variables.
    ///
    /// # Errors
    /// If one names a key that doesn't exist, or has a value of another type.
    pub fn environment(&mut self) -> Result<(), ConfigError> {
        self.variables(std::env::vars_os())
    }

    /// Overlays those of `variables` whose names begin as ours.
    ///
    /// # Errors
    /// If one names a key that doesn't exist, or has a value of another type.
    pub fn variables(
        &mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(), ConfigError> {
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else {
                continue;
            };
            let value = value.to_str().ok_or_else(|| wrong(name, "is not utf-8"))?;
            let path = name.strip_prefix(PREFIX).unwrap_or_default().to_lowercase();
            self.assign(name, &path.split("__").collect::<Vec<_>>(), value)?;
        }
        Ok(())
    }

    /// Overlays one value, `section.key` = `value`, as a flag gives it.
    ///
    /// # Errors
    /// If there is no such key, or the value is of another type.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        self.assign(key, &key.split('.').collect::<Vec<_>>(), value)
    }

    /// The typed section.
    ///
    /// # Errors
    /// Names the key that is wrong.
    pub fn section<T: DeserializeOwned>(&self, section: &str) -> Result<T, ConfigError> {
        let table =
            self.0.get(section).ok_or_else(|| wrong(section, "there is no such section"))?;
        serde_path_to_error::deserialize(table.clone()).map_err(|error| {
            let key = match error.path().to_string().as_str() {
                "." => section.to_owned(),
                path => format!("{section}.{path}"),
            };
            wrong(&key, one_line(error.inner()))
        })
    }

    /// Sets the value at `path`, read as the type that its default has. Errors call it `name`.
    fn assign(&mut self, name: &str, path: &[&str], text: &str) -> Result<(), ConfigError> {
        let Some((last, sections)) = path.split_last() else {
            return Err(wrong(name, "names no key"));
        };
        let mut table = &mut self.0;
        for section in sections {
            let key = existing(table, section).map_err(|detail| wrong(name, detail))?;
            table = match table.get_mut(&key) {
                Some(Value::Table(inner)) => inner,
                _ => return Err(wrong(name, format!("{key} is a value and has no keys"))),
            };
        }
        let key = existing(table, last).map_err(|detail| wrong(name, detail))?;
        let Some(slot) = table.get_mut(&key) else {
            return Err(wrong(name, "there is no such key"));
        };
        *slot = parse(slot, text).map_err(|detail| wrong(name, detail))?;
        Ok(())
    }
}

/// Overlays `over` on `table`, whose keys and types decide what may be.
fn merge(table: &mut Table, over: Table, path: &str) -> Result<(), ConfigError> {
    for (key, value) in over {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let unknown = nearest(table, &key);
        match (table.get_mut(&key), value) {
            (None, _) => return Err(wrong(&path, unknown)),
            (Some(Value::Table(inner)), Value::Table(value)) => merge(inner, value, &path)?,
            (Some(slot), value) => {
                *slot = fit(slot, value).map_err(|detail| wrong(&path, detail))?;
            }
        }
    }
    Ok(())
}

/// `value`, if it is of the type that the default has.
fn fit(default: &Value, value: Value) -> Result<Value, String> {
    match (default, value) {
        #[expect(clippy::cast_precision_loss, reason = "a setting of 2^53 means no more digits")]
        (Value::Float(_), Value::Integer(value)) => Ok(Value::Float(value as f64)),
        (Value::Array(defaults), Value::Array(values)) => {
            // An empty default does not say of what it is a list; the section's type does.
            let Some(first) = defaults.first() else { return Ok(Value::Array(values)) };
            let values = values.into_iter().map(|value| fit(first, value));
            values.collect::<Result<_, _>>().map(Value::Array)
        }
        (default, value) if default.same_type(&value) => Ok(value),
        (default, value) => {
            Err(format!("must be of type {}, not {}", default.type_str(), value.type_str()))
        }
    }
}

/// The value that a variable or a flag spells, of the type that the default has: texts as they are,
/// all else as in TOML.
fn parse(default: &Value, text: &str) -> Result<Value, String> {
    if default.is_str() {
        return Ok(Value::String(text.to_owned()));
    }
    let unreadable = || format!("must be of type {}, as toml spells it", default.type_str());
    if default.is_table() || text.contains(['\n', '\r']) {
        return Err(unreadable());
    }
    let mut table: Table = format!("value = {text}").parse().map_err(|_| unreadable())?;
    fit(default, table.remove("value").ok_or_else(unreadable)?)
}

/// The key of `table` that `name` means: case and the kind of dash don't matter, as variables have
/// neither.
fn existing(table: &Table, name: &str) -> Result<String, String> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let wanted = plain(name);
    let found = table.keys().find(|key| plain(key) == wanted);
    found.cloned().ok_or_else(|| nearest(table, name))
}

/// Says that a key is not known, and which one may have been meant.
fn nearest(table: &Table, name: &str) -> String {
    let near = table.keys().map(|key| (distance(key, name), key)).min();
    match near {
        Some((distance, key)) if distance <= name.len() / 3 + 1 => {
            format!("there is no such key, did you mean {key}")
        }
        _ => "there is no such key".to_owned(),
    }
}

/// The Levenshtein distance of two keys.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut left = i + 1;
        let mut diagonal = i;
        for (cell, b) in row.iter_mut().skip(1).zip(b.chars()) {
            let here = (diagonal + usize::from(a != b)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, here);
            left = here;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

/// What of a value may be shown: keys that name a secret, and addresses that carry a password, are
/// blacked out.
fn shown(key: &str, value: &Value) -> Value {
    let secret = key.contains("secret") || key.contains("password");
    match value {
        Value::Table(table) => {
            let shown = table.iter().map(|(key, value)| (key.clone(), shown(key, value)));
            Value::Table(shown.collect())
        }
        Value::String(text) if !text.is_empty() && (secret || text.contains('@')) => {
            Value::String("[redacted]".to_owned())
        }
        value => value.clone(),
    }
}

impl fmt::Display for Tree {
    /// All values in force, as TOML, without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = toml::to_string(&shown("", &Value::Table(self.0.clone())));
        f.write_str(&text.map_err(|_| fmt::Error)?)
    }
}

fn wrong(key: &str, detail: impl Into<String>) -> ConfigError {
    ConfigError::Key { key: key.to_owned(), detail: detail.into() }
}

/// TOML's errors are drawings of several lines; where and what fits one.
fn one_line(error: &toml::de::Error) -> String {
    error.message().lines().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    const BOOKING: &str = "
        # How long a hold lasts.
        hold_ttl_seconds = 600
        name = \"here\"
        ratio = 0.5
        remotes = []
        ports = [1, 2]
        fast = false
        [retry]
        limit = 3";

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Booking {
        hold_ttl_seconds: u32,
        name: String,
        ratio: f64,
        remotes: Vec<String>,
        ports: Vec<u16>,
        fast: bool,
        retry: Retry,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Retry {
        limit: u32,
    }

    fn tree() -> Tree {
        let mut tree = Tree::new();
        tree.defaults("booking", BOOKING).unwrap();
        tree.defaults("booking-worker", "batch_limit = 10").unwrap();
        tree
    }

    fn file(tree: &mut Tree, text: &str) -> Result<(), String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("boxoffice.toml");
        std::fs::write(&path, text).unwrap();
        tree.file(&path).map_err(|error| error.to_string())
    }

    fn variable(tree: &mut Tree, name: &str, value: &str) -> Result<(), String> {
        tree.variables([(name.into(), value.into())]).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_file_variables_and_flags_overlay_in_this_order() {
        let mut tree = tree();
        let text = "[booking]\nhold_ttl_seconds = 1\nratio = 2\nname = \"file\"\nfast = true
            [booking.retry]\nlimit = 4";
        file(&mut tree, text).unwrap();
        for (name, value) in [
            ("BOXOFFICE__BOOKING__NAME", "true"),
            ("BOXOFFICE__BOOKING__HOLD_TTL_SECONDS", "2"),
            ("BOXOFFICE__BOOKING__REMOTES", "[\"a\", \"b\"]"),
            ("BOXOFFICE__BOOKING__RETRY__LIMIT", "5"),
            ("BOXOFFICE__BOOKING_WORKER__BATCH_LIMIT", "20"),
            ("PATH", "/bin"),
        ] {
            variable(&mut tree, name, value).unwrap();
        }
        tree.set("booking.hold_ttl_seconds", "3").unwrap();
        tree.set("booking-worker.batch_limit", "30").unwrap();
        let expected = Booking {
            hold_ttl_seconds: 3,
            name: "true".to_owned(),
            ratio: 2.0,
            remotes: vec!["a".to_owned(), "b".to_owned()],
            ports: vec![1, 2],
            fast: true,
            retry: Retry { limit: 5 },
        };
        assert_eq!(tree.section::<Booking>("booking").unwrap(), expected);
    }

    #[test]
    fn keys_that_do_not_exist_are_errors_that_name_the_nearest() {
        let mut tree = tree();
        let wrong = file(&mut tree, "[booking]\nhold_ttl_second = 1").unwrap_err();
        assert!(
            wrong.ends_with(
                "booking.hold_ttl_second: there is no such key, did you mean hold_ttl_seconds"
            ),
            "{wrong}"
        );
        let wrong = file(&mut tree, "[boking]\nname = \"\"").unwrap_err();
        assert!(wrong.ends_with("did you mean booking"), "{wrong}");
        let wrong = variable(&mut tree, "BOXOFFICE__BOOKING__RETRY__WAIT", "1").unwrap_err();
        assert_eq!(wrong, "BOXOFFICE__BOOKING__RETRY__WAIT: there is no such key");
        for key in ["", "booking", "name", "booking.retry", "booking.name.x", "booking..name"] {
            assert!(tree.set(key, "1").is_err(), "{key:?}");
        }
        assert!(file(&mut tree, "booking = 1").unwrap_err().contains("must be of type table"));
    }

    #[test]
    fn values_of_another_type_are_errors_and_change_nothing() {
        let mut tree = tree();
        let before = tree.section::<Booking>("booking").unwrap();
        for (key, value) in [
            ("hold_ttl_seconds", "\"1\""),
            ("hold_ttl_seconds", "1.5"),
            ("hold_ttl_seconds", "soon"),
            ("hold_ttl_seconds", "1\nname = \"x\""),
            ("hold_ttl_seconds", ""),
            ("fast", "yes"),
            ("fast", "1"),
            ("remotes", "a,b"),
            ("ports", "[\"a\"]"),
        ] {
            assert!(tree.set(&format!("booking.{key}"), value).is_err(), "{key} = {value}");
        }
        let wrong = file(&mut tree, "[booking]\nname = \"x\"\nfast = 1").unwrap_err();
        assert!(wrong.ends_with("booking.fast: must be of type boolean, not integer"), "{wrong}");
        assert!(file(&mut tree, "[booking]\nname = \n").unwrap_err().contains("line 2"));
        assert_eq!(tree.section::<Booking>("booking").unwrap(), before);
    }

    #[test]
    fn a_section_that_does_not_fit_its_type_names_the_key() {
        let mut tree = tree();
        tree.set("booking.retry.limit", "-1").unwrap();
        let wrong = tree.section::<Booking>("booking").unwrap_err().to_string();
        assert!(wrong.starts_with("booking.retry.limit: "), "{wrong}");
        assert!(tree.section::<Booking>("ticket").is_err());
    }

    #[test]
    fn what_is_shown_has_no_secrets() {
        let mut tree = Tree::new();
        let text =
            "api_secret = \"s3\"\nurl = \"postgres://me:pw@h/d\"\nport = 1\nempty_secret = \"\"";
        tree.defaults("a", text).unwrap();
        let shown = tree.to_string();
        assert!(!shown.contains("s3") && !shown.contains("pw") && shown.contains("port = 1"));
        assert!(shown.contains("empty_secret = \"\""), "that nothing is set is no secret");
    }
}
