//! The servers that a deployment stands on, private to whoever starts them.
