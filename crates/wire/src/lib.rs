#![doc = include_str!("../README.md")]

mod behind;
mod breaker;
mod context;
mod convert;
mod guard;
mod health;
mod identity;
mod lost;
mod mesh;
mod methods;
mod metrics;
pub mod pb;
mod replica;
mod server;
mod socket;
mod status;
mod target;
mod tls;
mod wire;

pub use behind::{behind, tell_behind};
pub use context::Context;
pub use convert::{choice, id, money, page, place, to_choice, to_money, to_place};
pub use guard::Server;
pub use mesh::{Mesh, MeshError, MeshSettings};
pub use status::{failure, status};
pub use tls::Tls;
pub use wire::Wire;
