//! The objects of Stripe's API as they travel and as they are stored: one shape for both.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The API version whose shapes these are.
pub(crate) const API_VERSION: &str = "2025-09-30.clover";

/// Where a payment intent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    Processing,
    RequiresCapture,
    Succeeded,
    Canceled,
}

impl Status {
    /// The name on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::RequiresPaymentMethod => "requires_payment_method",
            Self::RequiresConfirmation => "requires_confirmation",
            Self::RequiresAction => "requires_action",
            Self::Processing => "processing",
            Self::RequiresCapture => "requires_capture",
            Self::Succeeded => "succeeded",
            Self::Canceled => "canceled",
        }
    }
}

/// When the money is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CaptureMethod {
    /// With the authorization.
    Automatic,
    /// By a call of its own.
    Manual,
}

/// A payment intent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Intent {
    pub(crate) id: String,
    pub(crate) object: String,
    pub(crate) amount: i64,
    pub(crate) amount_capturable: i64,
    pub(crate) amount_received: i64,
    pub(crate) canceled_at: Option<i64>,
    pub(crate) cancellation_reason: Option<String>,
    pub(crate) capture_method: CaptureMethod,
    pub(crate) client_secret: String,
    pub(crate) confirmation_method: String,
    pub(crate) created: i64,
    pub(crate) currency: String,
    pub(crate) description: Option<String>,
    pub(crate) last_payment_error: Option<Value>,
    pub(crate) latest_charge: Option<String>,
    pub(crate) livemode: bool,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) next_action: Option<Value>,
    pub(crate) payment_method: Option<String>,
    pub(crate) payment_method_types: Vec<String>,
    pub(crate) receipt_email: Option<String>,
    pub(crate) status: Status,
}

/// A card as an intent uses it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PaymentMethod {
    pub(crate) id: String,
    pub(crate) object: String,
    pub(crate) card: CardDetails,
    pub(crate) created: i64,
    pub(crate) livemode: bool,
    /// Which test card it is; Stripe has no such field.
    pub(crate) sandbox_card: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

/// What may be shown of a card.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CardDetails {
    pub(crate) brand: String,
    pub(crate) last4: String,
    pub(crate) exp_month: i64,
    pub(crate) exp_year: i64,
}

/// One try to charge a card.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Charge {
    pub(crate) id: String,
    pub(crate) object: String,
    pub(crate) amount: i64,
    pub(crate) amount_captured: i64,
    pub(crate) amount_refunded: i64,
    pub(crate) captured: bool,
    pub(crate) created: i64,
    pub(crate) currency: String,
    pub(crate) failure_code: Option<String>,
    pub(crate) failure_message: Option<String>,
    pub(crate) livemode: bool,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) paid: bool,
    pub(crate) payment_intent: String,
    pub(crate) payment_method: String,
    pub(crate) payment_method_details: Value,
    pub(crate) refunded: bool,
    pub(crate) status: String,
}

/// Money that goes back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Refund {
    pub(crate) id: String,
    pub(crate) object: String,
    pub(crate) amount: i64,
    pub(crate) charge: String,
    pub(crate) created: i64,
    pub(crate) currency: String,
    pub(crate) failure_reason: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) payment_intent: String,
    pub(crate) reason: Option<String>,
    pub(crate) status: String,
}
