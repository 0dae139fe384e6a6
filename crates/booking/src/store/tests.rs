//! Every statement on both engines.
