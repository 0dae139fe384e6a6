//! The service through its verbs, on both engines.

#[cfg(test)]
mod verbs;
