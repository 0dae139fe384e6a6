//! What a booking that ends without tickets must give back.

use crate::domain::{PaymentStatus, State, Status, state::named};

named! {
    /// A step of the saga, or its undoing. In the order in which things are undone.
    Step {
        /// Undoes [`Step::IssueTickets`].
        CancelTickets = "cancel_tickets",
        /// Undoes [`Step::RequestPayment`]; gives back what turns out to be taken.
        CancelPayment = "cancel_payment",
        /// Undoes [`Step::CapturePayment`].
        RefundPayment = "refund_payment",
        /// Undoes [`Step::HoldSeats`].
        ReleaseHold = "release_hold",
        /// Sets the places aside and prices them.
        HoldSeats = "hold_seats",
        /// Makes the payment at the provider.
        RequestPayment = "request_payment",
        /// Looks whether a booking whose time is over was paid after all.
        LapsePayment = "lapse_payment",
        /// Turns the hold into tickets.
        IssueTickets = "issue_tickets",
        /// Takes the money.
        CapturePayment = "capture_payment",
    }
}

/// The undoings that are left to do. Each is safe to repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Undo(u8);

impl Undo {
    /// Nothing.
    pub(crate) const NONE: Self = Self(0);

    const STEPS: [Step; 4] =
        [Step::CancelTickets, Step::CancelPayment, Step::RefundPayment, Step::ReleaseHold];

    /// These steps. Those that undo nothing are left out.
    pub(crate) fn of(steps: &[Step]) -> Self {
        steps.iter().fold(Self::NONE, |undo, step| undo.with(*step))
    }

    /// And this step.
    pub(crate) fn with(self, step: Step) -> Self {
        Self(self.0 | Self::bit(step))
    }

    /// Without this step.
    pub(crate) fn without(self, step: Step) -> Self {
        Self(self.0 & !Self::bit(step))
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// The steps, in the order in which they are to be done.
    pub(crate) fn steps(self) -> impl Iterator<Item = Step> {
        Self::STEPS.into_iter().filter(move |step| self.0 & Self::bit(*step) != 0)
    }

    /// The names of the steps, with spaces between.
    pub(crate) fn to_text(self) -> String {
        self.steps().map(Step::as_str).collect::<Vec<_>>().join(" ")
    }

    /// Reads what [`Undo::to_text`] wrote.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        text.split_whitespace()
            .map(|name| Step::named(name).filter(|step| Self::bit(*step) != 0))
            .try_fold(Self::NONE, |undo, step| Some(undo.with(step?)))
    }

    fn bit(step: Step) -> u8 {
        Self::STEPS.iter().position(|known| *known == step).map_or(0, |at| 1 << at)
    }
}

/// What may have been done on the way to `state`, and so has to be undone if the booking ends
/// there. A step counts as done from the moment it may have been asked for: an answer can get lost.
pub(crate) fn undo_of(state: State) -> Undo {
    use PaymentStatus as P;
    match (state.status, state.payment) {
        (Status::SeatsReserved, P::NotRequired) => {
            Undo::of(&[Step::CancelTickets, Step::ReleaseHold])
        }
        // The payment may be asked for before it is written that the places are held.
        (
            Status::Reserving
            | Status::SeatsReserved
            | Status::PaymentPending
            | Status::PaymentFailed,
            _,
        ) => Undo::of(&[Step::CancelPayment, Step::ReleaseHold]),
        (Status::PaymentProcessing, _) => {
            Undo::of(&[Step::CancelTickets, Step::CancelPayment, Step::ReleaseHold])
        }
        // A confirmed booking's tickets are cancelled before it ends: a used one refuses.
        (Status::Confirmed, P::Captured) => Undo::of(&[Step::RefundPayment]),
        _ => Undo::NONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undoings_survive_their_text() {
        let undo = Undo::of(&[Step::ReleaseHold, Step::CancelTickets, Step::HoldSeats]);
        assert_eq!(undo.to_text(), "cancel_tickets release_hold");
        assert_eq!(Undo::from_text(&undo.to_text()), Some(undo));
        assert_eq!(undo.without(Step::CancelTickets).to_text(), "release_hold");
        assert_eq!(Undo::from_text(""), Some(Undo::NONE));
        assert_eq!(Undo::from_text("hold_seats"), None);
    }
}
