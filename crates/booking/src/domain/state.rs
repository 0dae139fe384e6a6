//! The state machine of a booking: status × payment status, and the inputs that move them.

use kernel::{Code, Failure};

/// Declares an enum whose values have one name each, in databases, events and metrics.
macro_rules! named {
    ($(#[$meta:meta])* $name:ident {
        $($(#[$doc:meta])* $value:ident = $text:literal),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum $name { $($(#[$doc])* $value),* }

        impl $name {
            /// Every value.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$value),*];

            /// Its name.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$value => $text),* }
            }

            /// The value called `name`.
            pub(crate) fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == name)
            }
        }
    };
}
pub(crate) use named;

named! {
    /// Where a booking is.
    Status {
        /// Written down, nothing asked of anybody.
        Pending = "PENDING",
        /// The hold is being asked for.
        Reserving = "RESERVING",
        /// The places are held and priced.
        SeatsReserved = "SEATS_RESERVED",
        /// The buyer can pay.
        PaymentPending = "PAYMENT_PENDING",
        /// Paid or authorized: tickets are issued, then the money is taken.
        PaymentProcessing = "PAYMENT_PROCESSING",
        /// A card was declined; another try is possible while the hold lasts.
        PaymentFailed = "PAYMENT_FAILED",
        /// Tickets issued, money taken.
        Confirmed = "CONFIRMED",
        /// Given up by somebody.
        Cancelled = "CANCELLED",
        /// Could not be done.
        Failed = "FAILED",
        /// Not paid in time.
        Expired = "EXPIRED",
    }
}

named! {
    /// Where a booking's money is.
    PaymentStatus {
        /// Nothing to pay.
        NotRequired = "NOT_REQUIRED",
        /// Not paid yet.
        Pending = "PENDING",
        /// Set aside at the buyer's bank.
        Authorized = "AUTHORIZED",
        /// Taken.
        Captured = "CAPTURED",
        /// The last try was declined.
        Failed = "FAILED",
        /// On its way back.
        Refunding = "REFUNDING",
        /// Given back.
        Refunded = "REFUNDED",
        /// Given up before it was taken.
        Voided = "VOIDED",
    }
}

named! {
    /// What moves a booking.
    Input {
        /// The hold is about to be asked for.
        ReserveSeats = "RESERVE_SEATS",
        /// The hold was granted.
        SeatsReserved = "SEATS_RESERVED",
        /// There is nothing to pay.
        WaivePayment = "WAIVE_PAYMENT",
        /// The payment was made at the provider, or may be tried again.
        RequestPayment = "REQUEST_PAYMENT",
        /// The buyer's bank has set the money aside.
        PaymentAuthorized = "PAYMENT_AUTHORIZED",
        /// The money was taken.
        PaymentCaptured = "PAYMENT_CAPTURED",
        /// A try to pay was declined.
        PaymentDeclined = "PAYMENT_DECLINED",
        /// The tickets are there, and paid for.
        Confirm = "CONFIRM",
        /// Somebody gives the booking up.
        Cancel = "CANCEL",
        /// It can't be done.
        Fail = "FAIL",
        /// Its time is over.
        Expire = "EXPIRE",
        /// The payment was given up before it was taken.
        PaymentVoided = "PAYMENT_VOIDED",
        /// A refund was asked for.
        RefundRequested = "REFUND_REQUESTED",
        /// All the money is back.
        Refunded = "REFUNDED",
    }
}

impl Status {
    /// Whether the booking has ended without tickets; nothing leads out of here.
    pub(crate) const fn is_terminal(self) -> bool {
        matches!(self, Self::Cancelled | Self::Failed | Self::Expired)
    }

    /// Whether the buyer may still pay.
    pub(crate) const fn is_payable(self) -> bool {
        matches!(self, Self::PaymentPending | Self::PaymentFailed)
    }

    /// Whether the booking may expire: no money has been set aside yet.
    pub(crate) const fn may_expire(self) -> bool {
        matches!(self, Self::Pending | Self::Reserving | Self::SeatsReserved) || self.is_payable()
    }
}

/// Where a booking and its money are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The booking.
    pub(crate) status: Status,
    /// Its money.
    pub(crate) payment: PaymentStatus,
}

/// An input that the state does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} does not take {} with payment {}", .state.status.as_str(), .input.as_str(),
    .state.payment.as_str())]
pub(crate) struct Refusal {
    /// The state.
    pub(crate) state: State,
    /// The input.
    pub(crate) input: Input,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::new(Code::Conflict, "INVALID_TRANSITION", refusal.to_string())
            .with("status", refusal.state.status.as_str())
    }
}

impl State {
    /// The state of a booking that was just written down.
    pub(crate) const NEW: Self = Self { status: Status::Pending, payment: PaymentStatus::Pending };

    /// The state that `input` leads to.
    pub(crate) fn step(self, input: Input) -> Result<Self, Refusal> {
        use PaymentStatus as P;
        use Status as S;
        let State { status, payment } = self;
        let to = |status, payment| Ok(State { status, payment });
        match (status, input) {
            (S::Pending, Input::ReserveSeats) => to(S::Reserving, payment),
            (S::Reserving, Input::SeatsReserved) => to(S::SeatsReserved, payment),
            (S::SeatsReserved, Input::WaivePayment) => to(status, P::NotRequired),
            (S::SeatsReserved, Input::Confirm) if payment == P::NotRequired => {
                to(S::Confirmed, payment)
            }
            (S::SeatsReserved, Input::RequestPayment) if payment == P::Pending => {
                to(S::PaymentPending, payment)
            }
            (S::PaymentFailed, Input::RequestPayment) => to(S::PaymentPending, P::Pending),
            (S::PaymentPending | S::PaymentFailed, Input::PaymentAuthorized) => {
                to(S::PaymentProcessing, P::Authorized)
            }
            (S::PaymentPending | S::PaymentFailed, Input::PaymentDeclined) => {
                to(S::PaymentFailed, P::Failed)
            }
            (
                S::PaymentPending | S::PaymentFailed | S::PaymentProcessing,
                Input::PaymentCaptured,
            ) => to(S::PaymentProcessing, P::Captured),
            (S::PaymentProcessing, Input::Confirm) if payment == P::Captured => {
                to(S::Confirmed, payment)
            }
            (S::Confirmed, Input::Cancel) if payment == P::Captured => {
                to(S::Cancelled, P::Refunding)
            }
            (S::Confirmed, Input::Cancel) => to(S::Cancelled, payment),
            (S::Confirmed, Input::Refunded) if payment == P::Captured => to(status, P::Refunded),
            (S::Confirmed, _) => Err(Refusal { state: self, input }),
            (_, Input::Cancel) if !status.is_terminal() => to(S::Cancelled, payment),
            (_, Input::Fail) if !status.is_terminal() => to(S::Failed, payment),
            (_, Input::Expire) if status.may_expire() => to(S::Expired, payment),
            _ if status.is_terminal() => self.settle(input),
            _ => Err(Refusal { state: self, input }),
        }
    }

    /// What becomes of the money after the booking has ended: only ever towards the buyer.
    fn settle(self, input: Input) -> Result<Self, Refusal> {
        use PaymentStatus as P;
        let payment = match (self.payment, input) {
            (P::NotRequired, _) => return Err(Refusal { state: self, input }),
            (P::Refunded, Input::RefundRequested) | (_, Input::Refunded) => P::Refunded,
            (_, Input::RefundRequested) => P::Refunding,
            (P::Pending | P::Authorized | P::Failed | P::Voided, Input::PaymentVoided) => P::Voided,
            _ => return Err(Refusal { state: self, input }),
        };
        Ok(Self { payment, ..self })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn inputs() -> impl Strategy<Value = Vec<Input>> {
        prop::collection::vec(prop::sample::select(Input::ALL), 0..40)
    }

    /// Every state on the way, refused inputs left out.
    fn walk(inputs: &[Input]) -> Vec<State> {
        let mut states = vec![State::NEW];
        for input in inputs {
            if let Ok(next) = states[states.len() - 1].step(*input) {
                states.push(next);
            }
        }
        states
    }

    proptest! {
        #[test]
        fn an_ended_booking_never_leaves_its_status(inputs in inputs()) {
            let states = walk(&inputs);
            let end = states.iter().position(|state| state.status.is_terminal());
            if let Some(end) = end {
                prop_assert!(states[end..].iter().all(|state| state.status == states[end].status));
            }
        }

        #[test]
        fn nobody_is_confirmed_without_money_or_a_waiver(inputs in inputs()) {
            let states = walk(&inputs);
            if let Some(at) = states.iter().position(|state| state.status == Status::Confirmed) {
                let paid = states[..at].iter().any(|state| matches!(
                    state.payment,
                    PaymentStatus::Captured | PaymentStatus::NotRequired
                ));
                prop_assert!(paid);
                prop_assert!(matches!(
                    states[at].payment,
                    PaymentStatus::Captured | PaymentStatus::NotRequired
                ));
            }
        }

        #[test]
        fn money_that_was_taken_only_goes_back(inputs in inputs()) {
            let states = walk(&inputs);
            if let Some(at) = states.iter().position(|s| s.payment == PaymentStatus::Captured) {
                prop_assert!(states[at..].iter().all(|state| matches!(
                    state.payment,
                    PaymentStatus::Captured | PaymentStatus::Refunding | PaymentStatus::Refunded
                )));
            }
        }

        #[test]
        fn a_booking_never_expires_once_money_was_set_aside(inputs in inputs()) {
            let states = walk(&inputs);
            let paid = |state: &&State| state.status == Status::PaymentProcessing;
            if states.iter().find(paid).is_some() {
                prop_assert!(states.iter().all(|state| state.status != Status::Expired));
            }
        }
    }

    #[test]
    fn fail_and_cancel_are_taken_by_every_status_that_goes_on() {
        for status in Status::ALL {
            let state = State { status: *status, payment: PaymentStatus::Pending };
            let goes_on = !status.is_terminal() && *status != Status::Confirmed;
            assert_eq!(state.step(Input::Fail).is_ok(), goes_on, "{status:?}");
            let cancellable = !status.is_terminal();
            assert_eq!(state.step(Input::Cancel).is_ok(), cancellable, "{status:?}");
        }
    }

    #[test]
    fn a_declined_card_leaves_room_for_another() {
        let declined = State { status: Status::PaymentPending, payment: PaymentStatus::Pending }
            .step(Input::PaymentDeclined)
            .unwrap();
        assert_eq!(declined.status, Status::PaymentFailed);
        assert!(declined.step(Input::PaymentDeclined).is_ok());
        assert_eq!(declined.step(Input::RequestPayment).unwrap().status, Status::PaymentPending);
        let paid = declined.step(Input::PaymentAuthorized).unwrap();
        assert_eq!(paid.payment, PaymentStatus::Authorized);
        assert!(paid.step(Input::PaymentDeclined).is_err(), "a late decline changes nothing");
        assert!(paid.step(Input::Confirm).is_err(), "authorized is not taken yet");
    }

    #[test]
    fn names_are_unique_and_lead_back() {
        for status in Status::ALL {
            assert_eq!(Status::named(status.as_str()), Some(*status));
        }
        assert_eq!(PaymentStatus::named("CASH"), None);
    }
}
