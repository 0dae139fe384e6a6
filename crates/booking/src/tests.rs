//! Whole sagas, on both engines, against services that can be made to fail, hang and lose their
//! answers.

mod batches;
mod crashes;
mod events;
mod holds;
mod http;
mod openings;
mod refusals;
mod stage;
mod undoings;
mod unit;
mod world;
