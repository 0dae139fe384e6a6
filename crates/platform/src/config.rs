//! Configuration: one typed tree from defaults, `boxoffice.toml`, `BOXOFFICE__…` variables and flags, in this order.

use std::{ffi::OsString, path::Path};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// What the names of our environment variables begin with; `__` stands between sections and keys, `_` for `-`.
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

/// The configuration tree while it is put together: sections of keys. An empty text stands for "not set".
#[derive(Debug, Clone, Default)]
pub struct Tree(Table);

impl Tree {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a section with its defaults, from the text of the service's `config.toml`. Only keys that stand in defaults
    /// exist; to set any other is an error.
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
            values.into_iter().map(|value| fit(first, value)).collect()
        }
        (default, value) if default.same_type(&value) => Ok(value),
        (default, value) => {
            Err(format!("must be of type {}, not {}", default.type_str(), value.type_str()))
        }
    }
}

/// The value that a variable or a flag spells, of the type that the default has: texts as they are, all else as in TOML.
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

/// The key of `table` that `name` means: case and the kind of dash don't matter, as variables have neither.
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

fn wrong(key: &str, detail: impl ToString) -> ConfigError {
    ConfigError::Key { key: key.to_owned(), detail: detail.to_string() }
}

/// TOML's errors are drawings of several lines; where and what fits one.
fn one_line(error: &toml::de::Error) -> String {
    error.message().lines().collect::<Vec<_>>().join(" ")
}
