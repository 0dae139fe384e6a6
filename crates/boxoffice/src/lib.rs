//! Boxoffice as a library: [`start`] the services that [`Settings`] name, in this process.

mod audit;
pub mod cli;
mod compose;
pub mod demo;
mod doctor;
mod error;
mod host;
mod print;
mod rush;
mod secrets;
mod seed;
mod settings;
mod state;
pub mod topology;

pub use audit::stores;
pub use error::StartError;
pub use host::{Addresses, Running, SANDBOX, start};
pub use seed::DemoAccount;
pub use settings::{Ports, Process, SECTIONS, Settings, Sources, TlsFiles};
