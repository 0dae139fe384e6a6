//! The verbs of email-worker.

mod deliver_mails;
mod read_mails;
mod retry_mail;
mod write_mail;

use deliver_mails::rendered;
pub(crate) use deliver_mails::{deliver_mails, remove_old_mails};
pub(crate) use read_mails::{get_mail, list_mails};
pub(crate) use retry_mail::retry_mail;
pub(crate) use write_mail::{Letter, Letters, Values, letters, write_mail};
