//! The few fields of Stripe's objects that we read; whatever else they hold is ignored.

use std::collections::HashMap;

use kernel::Secret;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use crate::domain::{Decline, RefundState, Sight};

/// A payment intent.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Intent {
    pub(crate) id: String,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) amount_received: i64,
    #[serde(default, deserialize_with = "secret")]
    pub(crate) client_secret: Option<Secret<String>>,
    #[serde(default)]
    last_payment_error: Option<PaymentError>,
    #[serde(default)]
    pub(crate) metadata: HashMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct PaymentError {
    code: Option<String>,
    decline_code: Option<String>,
    charge: Option<String>,
}

/// A refund.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Refund {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) amount: i64,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    pub(crate) payment_intent: Option<String>,
    #[serde(default)]
    pub(crate) metadata: HashMap<String, String>,
}

/// A page of a list.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct List<T> {
    pub(crate) data: Vec<T>,
}

/// What an event is.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct EventHead {
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// In seconds since 1970.
    pub(crate) created: i64,
}

#[derive(Deserialize)]
struct Event<T> {
    data: Content<T>,
}

#[derive(Deserialize)]
struct Content<T> {
    object: T,
}

/// What an event is about, if it can be read so.
pub(crate) fn subject<T: DeserializeOwned>(event: &str) -> Option<T> {
    serde_json::from_str::<Event<T>>(event).ok().map(|event| event.data.object)
}

impl Intent {
    /// How the intent stands, in our words.
    pub(crate) fn sight(&self) -> Sight {
        match self.status.as_str() {
            "processing" => Sight::Processing,
            "requires_capture" => Sight::Authorized,
            "succeeded" => Sight::Captured { minor: self.amount_received },
            "canceled" => Sight::Cancelled,
            "requires_payment_method" => match &self.last_payment_error {
                Some(error) => Sight::Declined(error.decline()),
                None => Sight::Open,
            },
            _ => Sight::Open,
        }
    }
}

impl PaymentError {
    fn decline(&self) -> Decline {
        let code = self.decline_code.as_ref().or(self.code.as_ref());
        Decline {
            code: code.cloned().unwrap_or_else(|| "unknown".to_owned()),
            reference: self.charge.clone().unwrap_or_default(),
        }
    }
}

impl Refund {
    /// How the refund stands, in our words.
    pub(crate) fn state(&self) -> RefundState {
        match self.status.as_deref() {
            Some("succeeded") => RefundState::Succeeded,
            Some("failed" | "canceled") => RefundState::Failed,
            _ => RefundState::Pending,
        }
    }
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret<String>>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
}
