//! The service on both engines.
