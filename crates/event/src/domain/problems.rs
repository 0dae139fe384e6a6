//! All that is wrong with a request, collected field by field, so that one answer names everything.

use kernel::FieldError;

/// The most problems that one answer names; it has to fit into a gRPC status.
const MAX_PROBLEMS: usize = 30;

/// What is wrong, as far as it was looked at.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<FieldError>);

impl Problems {
    pub(crate) fn add(&mut self, field: impl Into<String>, detail: impl Into<String>) {
        if self.0.len() < MAX_PROBLEMS {
            self.0.push(FieldError { field: field.into(), detail: detail.into() });
        }
    }

    pub(crate) fn require(&mut self, holds: bool, field: &str, detail: impl Into<String>) {
        if !holds {
            self.add(field, detail);
        }
    }

    /// One line of text: not empty, at most `max` characters.
    pub(crate) fn line(&mut self, field: &str, text: &str, max: usize) {
        if text.is_empty() {
            self.add(field, "is required");
        }
        self.optional_line(field, text, max);
    }

    /// As [`Problems::line`], but it may be empty.
    pub(crate) fn optional_line(&mut self, field: &str, text: &str, max: usize) {
        if text.chars().count() > max {
            self.add(field, format!("at most {max} characters"));
        } else if text.chars().any(char::is_control) {
            self.add(field, "has control characters");
        }
    }

    /// Text of several lines; it may be empty.
    pub(crate) fn prose(&mut self, field: &str, text: &str, max: usize) {
        let forbidden = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
        if text.chars().count() > max {
            self.add(field, format!("at most {max} characters"));
        } else if text.chars().any(forbidden) {
            self.add(field, "has control characters");
        }
    }

    /// What machines name things by.
    pub(crate) fn key(&mut self, field: &str, text: &str, max: usize) {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if text.is_empty() || text.len() > max || !text.chars().all(allowed) {
            self.add(field, format!("must be 1 to {max} letters, digits, - and _"));
        }
    }

    /// Whether nothing more can be named.
    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= MAX_PROBLEMS
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn into_fields(self) -> Vec<FieldError> {
        self.0
    }

    pub(crate) fn into_result(self) -> Result<(), Vec<FieldError>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}
