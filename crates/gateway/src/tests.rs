//! The whole face over services that answer by the book.
