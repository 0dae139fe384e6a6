#![doc = include_str!("../README.md")]

mod breaker;
mod context;
mod convert;
mod guard;
mod identity;
mod mesh;
mod methods;
mod metrics;
pub mod pb;
mod server;
mod status;
mod target;
mod wire;

pub use context::Context;
pub use convert::{choice, id, money, page, place, to_choice, to_money, to_place};
pub use mesh::{Mesh, MeshError, MeshSettings};
pub use server::serve;
pub use status::{failure, status};
pub use wire::Wire;
