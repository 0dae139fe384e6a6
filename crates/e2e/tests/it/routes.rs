//! Wrong input on every route of the public interface: a clear refusal, and nothing changed.

mod bodies;
mod callers;
mod chaos;
mod repeats;
mod stage;
mod table;
mod values;
