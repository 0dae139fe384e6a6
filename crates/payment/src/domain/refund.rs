//! A refund: pending until the provider decides, and it may change its mind once.

use std::str::FromStr;

use kernel::{PaymentId, RefundId, Timestamp};

/// Where a refund is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefundState {
    Pending,
    Succeeded,
    /// Final; may follow success, when the bank sends the money back.
    Failed,
}

/// Money that goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refund {
    pub(crate) id: RefundId,
    pub(crate) payment: PaymentId,
    pub(crate) amount_minor: i64,
    pub(crate) state: RefundState,
    pub(crate) reason: String,
    /// The provider's id of the refund; none until it has been made there.
    pub(crate) provider_reference: Option<String>,
    /// The caller's key; none where the refund was made at the provider.
    pub(crate) idempotency_key: Option<String>,
    /// How often it was tried or looked at in vain.
    pub(crate) attempts: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

impl RefundState {
    /// The name in the database.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    /// Whether `next` is news: never back, and nothing after failure.
    pub(crate) const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Pending, Self::Succeeded | Self::Failed) | (Self::Succeeded, Self::Failed)
        )
    }
}

impl FromStr for RefundState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let all = [Self::Pending, Self::Succeeded, Self::Failed];
        all.into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}
