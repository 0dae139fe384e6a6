//! Why nothing can be said: a store that can't be read is never a store without violations.

/// Why the audit could not look.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A store is not there, lacks what the audit asks for, or holds what can't be read.
    #[error("{store} can't be read: {detail}")]
    Store {
        /// Which one.
        store: String,
        /// What went wrong.
        detail: String,
    },
    /// A line of the journal is none.
    #[error("journal, line {line}: {detail}")]
    Journal {
        /// Its number, from 1; 0: the file itself.
        line: u64,
        /// What is wrong with it.
        detail: String,
    },
    /// The audit's own database failed, for want of space perhaps.
    #[error("the audit's own notes: {0}")]
    Notes(#[from] rusqlite::Error),
}

impl Error {
    /// `store` can't be read because of `detail`.
    #[expect(clippy::needless_pass_by_value, reason = "it ends here, in `map_err`")]
    pub(crate) fn store(store: &str, detail: impl ToString) -> Self {
        Self::Store { store: store.to_owned(), detail: detail.to_string() }
    }
}
