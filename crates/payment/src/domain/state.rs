//! The states of a payment and the one table of what leads from which to which.

use std::str::FromStr;

/// Where a payment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum State {
    /// Waits for a card. A declined card leads back here: another may follow.
    RequiresPayment,
    /// The provider has not decided yet.
    Processing,
    /// The money is set aside, and not ours yet.
    Authorized,
    /// The money is taken.
    Captured,
    /// Some of it was given back.
    PartiallyRefunded,
    /// All of it was given back.
    Refunded,
    /// The provider never took it up. Final.
    Failed,
    /// Given up before it was captured. Final.
    Cancelled,
}

/// What happens to a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    Process,
    Decline,
    Authorize,
    Capture,
    Fail,
    Cancel,
    /// How much of the captured money is back now.
    Refund(Extent),
}

/// How much of the captured money was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Nothing: a refund that seemed to have succeeded has failed.
    Nothing,
    Part,
    All,
}

/// Why nothing happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is there already.
    Repeated,
    /// It is past that, or may not go there.
    OutOfOrder,
}

impl State {
    pub(crate) const ALL: [Self; 8] = [
        Self::RequiresPayment,
        Self::Processing,
        Self::Authorized,
        Self::Captured,
        Self::PartiallyRefunded,
        Self::Refunded,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The name in the database and in the history.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::RequiresPayment => "requires_payment",
            Self::Processing => "processing",
            Self::Authorized => "authorized",
            Self::Captured => "captured",
            Self::PartiallyRefunded => "partially_refunded",
            Self::Refunded => "refunded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether money may still be taken, so that somebody has to look after it.
    pub(crate) const fn is_open(self) -> bool {
        matches!(self, Self::RequiresPayment | Self::Processing | Self::Authorized)
    }

    /// Whether money was taken.
    pub(crate) const fn is_captured(self) -> bool {
        matches!(self, Self::Captured | Self::PartiallyRefunded | Self::Refunded)
    }
}

impl FromStr for State {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// Where `input` leads from `state`.
///
/// # Errors
/// If it leads nowhere: the payment stays as it is.
pub(crate) const fn step(state: State, input: Input) -> Result<State, Refusal> {
    use State::{
        Authorized, Cancelled, Captured, Failed, PartiallyRefunded, Processing, Refunded,
        RequiresPayment,
    };
    match (state, input) {
        (RequiresPayment, Input::Process) => Ok(Processing),
        (RequiresPayment | Processing, Input::Decline) => Ok(RequiresPayment),
        (RequiresPayment | Processing, Input::Authorize) => Ok(Authorized),
        (RequiresPayment | Processing | Authorized, Input::Capture) => Ok(Captured),
        (RequiresPayment | Processing | Authorized, Input::Fail) => Ok(Failed),
        (RequiresPayment | Processing | Authorized, Input::Cancel) => Ok(Cancelled),
        (Captured | PartiallyRefunded, Input::Refund(Extent::Part)) => Ok(PartiallyRefunded),
        (Captured | PartiallyRefunded, Input::Refund(Extent::All)) => Ok(Refunded),
        (Refunded, Input::Refund(Extent::Part)) => Ok(PartiallyRefunded),
        (PartiallyRefunded | Refunded, Input::Refund(Extent::Nothing)) => Ok(Captured),
        (Processing, Input::Process)
        | (Authorized, Input::Authorize)
        | (Captured, Input::Capture | Input::Refund(Extent::Nothing))
        | (Refunded, Input::Refund(Extent::All))
        | (Failed, Input::Fail)
        | (Cancelled, Input::Cancel) => Err(Refusal::Repeated),
        _ => Err(Refusal::OutOfOrder),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn input() -> impl Strategy<Value = Input> {
        let extent = prop_oneof![Just(Extent::Nothing), Just(Extent::Part), Just(Extent::All)];
        prop_oneof![
            Just(Input::Process),
            Just(Input::Decline),
            Just(Input::Authorize),
            Just(Input::Capture),
            Just(Input::Fail),
            Just(Input::Cancel),
            extent.prop_map(Input::Refund),
        ]
    }

    proptest! {
        #[test]
        fn whatever_comes_in_whatever_order_money_is_never_forgotten(
            inputs in prop::collection::vec(input(), 0..40),
        ) {
            let mut state = State::RequiresPayment;
            let (mut authorized, mut captured, mut ended) = (false, false, false);
            for input in inputs {
                let Ok(next) = step(state, input) else { continue };
                prop_assert!(!ended, "{state:?} is final, yet {input:?} led to {next:?}");
                prop_assert!(!captured || next.is_captured(), "captured money was lost: {next:?}");
                let back = matches!(next, State::RequiresPayment | State::Processing);
                prop_assert!(!authorized || !back, "{state:?} went back to {next:?}");
                let refunded = matches!(next, State::PartiallyRefunded | State::Refunded);
                prop_assert!(captured || !refunded, "refunded before it was captured");
                authorized |= next == State::Authorized;
                captured |= next.is_captured();
                ended |= matches!(next, State::Failed | State::Cancelled);
                state = next;
            }
        }

        #[test]
        fn a_repeat_changes_nothing(
            inputs in prop::collection::vec(input(), 0..20),
            last in input(),
        ) {
            let mut state = State::RequiresPayment;
            for input in inputs {
                state = step(state, input).unwrap_or(state);
            }
            let once = step(state, last).unwrap_or(state);
            prop_assert_eq!(step(once, last).unwrap_or(once), once);
        }
    }

    #[test]
    fn names_are_read_back() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert!("paid".parse::<State>().is_err());
    }
}
