//! Cursor pagination: a limit, and an opaque cursor that names the last item seen.

use crate::Failure;

/// The most items a page may have.
pub const MAX_PAGE_LIMIT: u32 = 100;
const DEFAULT_PAGE_LIMIT: u32 = 20;

/// Which page of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The most items to return, 1 to [`MAX_PAGE_LIMIT`].
    pub limit: u32,
    /// The cursor that the page before gave; empty for the first page.
    pub cursor: String,
}

/// Why a page can't be given.
pub type PageError = Failure;

impl Page {
    /// A page as asked for on the wire, where a limit of 0 stands for the default of 20.
    ///
    /// # Errors
    /// If the limit is over [`MAX_PAGE_LIMIT`] or the cursor is over 512 bytes.
    pub fn new(limit: u32, cursor: &str) -> Result<Self, PageError> {
        if limit > MAX_PAGE_LIMIT {
            return Err(Failure::invalid("limit", format!("at most {MAX_PAGE_LIMIT}")));
        }
        if cursor.len() > 512 {
            return Err(Failure::invalid("cursor", "not a cursor of ours"));
        }
        let limit = if limit == 0 { DEFAULT_PAGE_LIMIT } else { limit };
        Ok(Self { limit, cursor: cursor.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_a_default_and_an_end() {
        assert_eq!(Page::new(0, "").unwrap().limit, 20);
        assert_eq!(Page::new(100, "").unwrap().limit, 100);
        assert!(Page::new(101, "").is_err());
        assert!(Page::new(1, &"x".repeat(513)).is_err());
    }
}
