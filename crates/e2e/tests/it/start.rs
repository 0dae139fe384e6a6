//! Starting and stopping: as a library, several at once, again on the same state, with what is
//! wrong, and as a process.

mod faces;
mod process;
mod state;
mod wrong;
