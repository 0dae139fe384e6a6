//! The whole face over services that do as they are told: only what is the gateway's own.

mod answers;
mod callers;
mod document;
mod limits;
mod overload;
mod requests;
mod world;
