//! The one way to standard output.

use std::io::Write;

/// Prints a line, or several; a closed output is no reason to fail.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
