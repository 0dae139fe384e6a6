//! The verbs, one file each; and what several of them share: deciding together what comes together,
//! and taking in how the provider's objects stand.

mod batch;
mod cancel_payment;
mod capture_payment;
mod create_intent;
mod get_payment;
mod list_payments;
mod observe;
mod process_webhook;
mod prune_logs;
mod reconcile;
mod refund_payment;
mod settle_refund;

pub(crate) use batch::{Decided, Request, decide};
#[cfg(test)]
pub(crate) use batch::{Heard, News, Opening, Told};
pub(crate) use cancel_payment::cancel_payment;
pub(crate) use capture_payment::capture_payment;
pub(crate) use create_intent::{CreateIntent, create_intent};
pub(crate) use get_payment::get_payment;
pub(crate) use list_payments::list_payments;
pub(crate) use process_webhook::{MAX_BODY as MAX_WEBHOOK, process_webhook};
pub(crate) use prune_logs::prune_logs;
pub(crate) use reconcile::{reconcile_payments, reconcile_refunds};
pub(crate) use refund_payment::{RefundPayment, refund_payment};
#[cfg(test)]
pub(crate) use refund_payment::{finish_refund, provider_key};
