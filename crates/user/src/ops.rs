//! The verbs of user-service.

mod get_profile;
mod make_profile;
mod update_profile;

pub(crate) use get_profile::get_profile;
pub(crate) use make_profile::make_profile;
pub(crate) use update_profile::{UpdateProfile, update_profile};
