//! The verbs of auth-service.

mod login;
mod logout;
mod read_account;
mod refresh;
mod register;
mod remove_sessions;
mod resend_verification;
mod set_role;
mod verify_email;

pub(crate) use login::{Login, Tokens, login};
pub(crate) use logout::logout;
pub(crate) use read_account::{get_account, get_jwks};
pub(crate) use refresh::refresh;
pub(crate) use register::{provision_account, register};
pub(crate) use remove_sessions::remove_sessions;
pub(crate) use resend_verification::resend_verification;
pub(crate) use set_role::set_role;
pub(crate) use verify_email::verify_email;
