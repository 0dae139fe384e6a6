//! A payment, and what a look at the provider's intent changes about it.

use kernel::{AccountId, BookingId, Money, PaymentId, Timestamp};

use super::{Extent, Input, Refusal, State, step};

/// One payment of one booking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payment {
    pub(crate) id: PaymentId,
    pub(crate) booking: BookingId,
    pub(crate) booking_reference: String,
    pub(crate) account: AccountId,
    pub(crate) amount: Money,
    pub(crate) captured_minor: i64,
    pub(crate) refunded_minor: i64,
    /// Asked for, and not yet decided by the provider.
    pub(crate) pending_refund_minor: i64,
    pub(crate) state: State,
    /// How many status changes it has seen.
    pub(crate) version: i64,
    /// The provider's id of the intent; none until it has been made there.
    pub(crate) provider_reference: Option<String>,
    /// With which the buyer pays. A secret.
    pub(crate) client_secret: Option<kernel::Secret<String>>,
    /// The last refusal of a card.
    pub(crate) decline: Option<Decline>,
    /// When the newest event applied was made at the provider, in seconds since 1970.
    pub(crate) provider_event_s: i64,
    /// Ties what happens later to the request that began it.
    pub(crate) correlation_id: String,
    /// How often it was looked at in vain since it last changed.
    pub(crate) attempts: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// A card was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decline {
    /// Why, as the provider names it.
    pub(crate) code: String,
    /// Which try it was; the same try is told once.
    pub(crate) reference: String,
}

/// How the provider's intent stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Waits for the buyer.
    Open,
    Declined(Decline),
    Processing,
    Authorized,
    Captured {
        minor: i64,
    },
    Cancelled,
}

/// What others are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fact {
    Authorized,
    Captured,
    Declined,
    Failed,
    Cancelled,
    Refunded,
    RefundFailed,
}

/// A step that was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) to: State,
    pub(crate) fact: Option<Fact>,
}

impl Payment {
    /// Takes in how the provider's intent stands.
    ///
    /// # Errors
    /// If it is nothing new, or older than what is known.
    pub(crate) fn see(&mut self, sight: &Sight) -> Result<Change, Refusal> {
        let (input, fact) = match sight {
            Sight::Open => return Err(Refusal::Repeated),
            Sight::Processing => (Input::Process, None),
            Sight::Authorized => (Input::Authorize, Some(Fact::Authorized)),
            Sight::Captured { .. } => (Input::Capture, Some(Fact::Captured)),
            Sight::Cancelled => (Input::Cancel, Some(Fact::Cancelled)),
            Sight::Declined(decline) => {
                let known = self.decline.as_ref().is_some_and(|d| d.reference == decline.reference);
                if known && self.state == State::RequiresPayment {
                    return Err(Refusal::Repeated);
                }
                (Input::Decline, (!known).then_some(Fact::Declined))
            }
        };
        let to = step(self.state, input)?;
        match sight {
            Sight::Captured { minor } => self.captured_minor = *minor,
            Sight::Declined(decline) => self.decline = Some(decline.clone()),
            _ => {}
        }
        self.state = to;
        Ok(Change { to, fact })
    }

    /// Gives up a payment that the provider never took up.
    ///
    /// # Errors
    /// If it has ended or money was taken.
    pub(crate) fn fail(&mut self, code: &str) -> Result<Change, Refusal> {
        self.state = step(self.state, Input::Fail)?;
        self.decline = Some(Decline { code: code.to_owned(), reference: String::new() });
        Ok(Change { to: self.state, fact: Some(Fact::Failed) })
    }

    /// A refund of `minor` that was pending has succeeded.
    ///
    /// # Errors
    /// If no money was taken.
    pub(crate) fn refund_succeeded(&mut self, minor: i64) -> Result<Change, Refusal> {
        let refunded = self.refunded_minor.saturating_add(minor);
        let state = step(self.state, Input::Refund(self.extent(refunded)))?;
        self.pending_refund_minor = self.pending_refund_minor.saturating_sub(minor);
        self.refunded_minor = refunded;
        self.state = state;
        Ok(Change { to: state, fact: Some(Fact::Refunded) })
    }

    /// A refund of `minor` has failed: one that was pending, or one that had seemed to succeed.
    pub(crate) fn refund_failed(&mut self, minor: i64, had_succeeded: bool) -> Change {
        if had_succeeded {
            self.refunded_minor = self.refunded_minor.saturating_sub(minor);
            let extent = self.extent(self.refunded_minor);
            self.state = step(self.state, Input::Refund(extent)).unwrap_or(self.state);
        } else {
            self.pending_refund_minor = self.pending_refund_minor.saturating_sub(minor);
        }
        Change { to: self.state, fact: Some(Fact::RefundFailed) }
    }

    /// What may still be given back, in minor units.
    pub(crate) const fn refundable_minor(&self) -> i64 {
        self.captured_minor - self.refunded_minor - self.pending_refund_minor
    }

    const fn extent(&self, refunded_minor: i64) -> Extent {
        if refunded_minor <= 0 {
            Extent::Nothing
        } else if refunded_minor < self.captured_minor {
            Extent::Part
        } else {
            Extent::All
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use kernel::Currency;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    pub(crate) fn payment(seed: u128) -> Payment {
        let at = Timestamp::from_seconds(1_790_000_000);
        Payment {
            id: PaymentId::from_uuid(Uuid::from_u128(seed)),
            booking: BookingId::from_uuid(Uuid::from_u128(seed + 1)),
            booking_reference: "BKG1".into(),
            account: AccountId::from_uuid(Uuid::from_u128(7)),
            amount: Money::new(5_000, Currency::EUR),
            captured_minor: 0,
            refunded_minor: 0,
            pending_refund_minor: 0,
            state: State::RequiresPayment,
            version: 0,
            provider_reference: None,
            client_secret: None,
            decline: None,
            provider_event_s: 0,
            correlation_id: "c1".into(),
            attempts: 0,
            created_at: at,
            updated_at: at,
        }
    }

    fn declined(reference: &str) -> Sight {
        let (code, reference) = ("insufficient_funds".into(), reference.into());
        Sight::Declined(Decline { code, reference })
    }

    #[test]
    fn each_declined_try_is_told_once_and_another_card_may_follow() {
        let mut payment = payment(1);
        assert_eq!(payment.see(&declined("ch_1")).unwrap().fact, Some(Fact::Declined));
        assert_eq!(payment.see(&declined("ch_1")), Err(Refusal::Repeated));
        assert_eq!(payment.see(&declined("ch_2")).unwrap().fact, Some(Fact::Declined));
        assert_eq!(payment.see(&Sight::Authorized).unwrap().to, State::Authorized);
        assert_eq!(payment.see(&declined("ch_3")), Err(Refusal::OutOfOrder));
        assert_eq!(payment.see(&Sight::Captured { minor: 5_000 }).unwrap().to, State::Captured);
        assert_eq!(payment.see(&Sight::Authorized), Err(Refusal::OutOfOrder));
        assert_eq!(payment.see(&Sight::Cancelled), Err(Refusal::OutOfOrder));
        assert_eq!(payment.captured_minor, 5_000);
    }

    proptest! {
        #[test]
        fn refunds_add_up_whatever_succeeds_or_fails(
            refunds in prop::collection::vec((1_i64..3_000, any::<bool>(), any::<bool>()), 1..8),
        ) {
            let mut payment = payment(1);
            payment.see(&Sight::Captured { minor: 5_000 }).unwrap();
            for (minor, succeeds, fails_later) in refunds {
                if minor > payment.refundable_minor() {
                    continue;
                }
                payment.pending_refund_minor += minor;
                if succeeds {
                    payment.refund_succeeded(minor).unwrap();
                }
                if !succeeds || fails_later {
                    payment.refund_failed(minor, succeeds);
                }
                prop_assert_eq!(payment.pending_refund_minor, 0);
                prop_assert!((0..=5_000).contains(&payment.refunded_minor));
                let expected = match payment.refunded_minor {
                    0 => State::Captured,
                    5_000 => State::Refunded,
                    _ => State::PartiallyRefunded,
                };
                prop_assert_eq!(payment.state, expected);
            }
        }
    }
}
