//! What became of a row, kept in the row itself, so that a change and its history are one write.

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Error, Value,
    row::{Cell, FromValue},
};

/// Steps as a column of text has them: a comma and a JSON object each. So a column grows by
/// appending (`history = history || $2`), and `'[' || substr(history, 2) || ']'` is an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History(String);

impl History {
    /// The steps, in order; none is as good as any.
    ///
    /// # Errors
    /// [`Error::Statement`] if a step has no JSON form.
    pub fn of<T: Serialize>(steps: impl IntoIterator<Item = T>) -> Result<Self, Error> {
        let mut text = String::new();
        for step in steps {
            let step = serde_json::to_string(&step);
            text.push(',');
            text.push_str(&step.map_err(|error| Error::Statement(error.to_string()))?);
        }
        Ok(Self(text))
    }

    /// Its steps, oldest first.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it holds something else.
    pub fn steps<T: DeserializeOwned>(&self) -> Result<Vec<T>, Error> {
        let array = format!("[{}]", self.0.strip_prefix(',').unwrap_or(&self.0));
        serde_json::from_str(&array).map_err(|error| Error::Corrupt {
            column: "history".to_owned(),
            detail: error.to_string(),
        })
    }
}

impl From<History> for Value {
    fn from(history: History) -> Self {
        Self::Text(history.0)
    }
}

impl FromValue for History {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        String::from_cell(cell).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_as_they_were_added() {
        let steps = [(1, "so"), (2, "\"},{\u{1F3AD}")].map(|(n, why)| (n, why.to_owned()));
        let mut history = History::of(&steps[..1]).unwrap();
        history.0 += &History::of(&steps[1..]).unwrap().0;
        history.0 += &History::of::<()>([]).unwrap().0;
        assert_eq!(history.steps::<(i32, String)>().unwrap(), steps);
        assert!(History(String::new()).steps::<()>().unwrap().is_empty());
        assert!(matches!(history.steps::<i32>(), Err(Error::Corrupt { .. })));
    }
}
