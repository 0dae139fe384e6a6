//! What is tested through the verbs.
