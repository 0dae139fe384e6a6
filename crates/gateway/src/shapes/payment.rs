//! Payments.

use serde::Serialize;
use utoipa::ToSchema;
use wire::pb::payment::v1 as pb;

use super::{Money, at, some, word};

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Payment {
    pub payment_id: String,
    pub booking_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    pub captured_minor: i64,
    pub refunded_minor: i64,
    /// requires_payment, processing, authorized, captured, partially_refunded, refunded, failed or
    /// cancelled.
    pub state: String,
    pub provider: String,
    /// The last decline, as the provider names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decline_code: Option<String>,
    /// Only for the buyer, while payment is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(format = DateTime)]
    pub updated_at: String,
}

impl From<pb::Payment> for Payment {
    fn from(payment: pb::Payment) -> Self {
        Self {
            state: word(payment.state().as_str_name(), "PAYMENT_STATE_"),
            payment_id: payment.payment_id,
            booking_id: payment.booking_id,
            amount: payment.amount.map(Into::into),
            captured_minor: payment.captured_minor,
            refunded_minor: payment.refunded_minor,
            provider: payment.provider,
            decline_code: some(payment.decline_code),
            client_secret: some(payment.client_secret),
            created_at: at(payment.created_at_us),
            updated_at: at(payment.updated_at_us),
        }
    }
}

/// Whether a webhook was new.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Processed {
    pub processed: bool,
}
