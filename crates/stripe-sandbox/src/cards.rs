//! Stripe's test cards and what each does.

/// What happens when a card is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The charge is authorized.
    Approve,
    /// The charge is refused.
    Decline(Decline),
    /// The buyer must authenticate first; then `Approve` or `Decline`.
    Challenge(Option<Decline>),
    /// The result comes later; in the sandbox, never.
    Pending,
}

/// Why a card was refused: Stripe's `code`, `decline_code` and message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decline {
    pub(crate) code: &'static str,
    pub(crate) decline_code: &'static str,
    pub(crate) message: &'static str,
}

/// How a refund to the card goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefundOutcome {
    /// At once.
    Succeed,
    /// Pending first, then it succeeds.
    SucceedLater,
    /// It seems to succeed, then it fails.
    FailLater,
}

/// A test card.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Card {
    /// The token that stands for it, such as `pm_card_visa`.
    pub(crate) token: &'static str,
    pub(crate) number: &'static str,
    pub(crate) brand: &'static str,
    pub(crate) outcome: Outcome,
    pub(crate) refund: RefundOutcome,
}

impl Card {
    /// The last four digits.
    pub(crate) fn last4(&self) -> &'static str {
        self.number.get(self.number.len().saturating_sub(4)..).unwrap_or_default()
    }
}

const fn declined(decline_code: &'static str) -> Decline {
    Decline { code: "card_declined", decline_code, message: "Your card was declined." }
}

/// The buyer did not prove who they are.
pub(crate) const NOT_AUTHENTICATED: Decline = Decline {
    code: "payment_intent_authentication_failure",
    decline_code: "",
    message: "The provided PaymentMethod has failed authentication.",
};
/// A number that is no test card.
pub(crate) const LIVE_CARD: Decline = Decline {
    code: "card_declined",
    decline_code: "test_mode_live_card",
    message: "Your card was declined. Your request was in test mode, but used a non test card.",
};
/// A number that is no card number.
pub(crate) const INCORRECT_NUMBER: Decline = Decline {
    code: "incorrect_number",
    decline_code: "incorrect_number",
    message: "Your card number is incorrect.",
};
const NO_FUNDS: Decline = Decline {
    code: "card_declined",
    decline_code: "insufficient_funds",
    message: "Your card has insufficient funds.",
};
const EXPIRED: Decline = Decline {
    code: "expired_card",
    decline_code: "expired_card",
    message: "Your card has expired.",
};
const WRONG_CVC: Decline = Decline {
    code: "incorrect_cvc",
    decline_code: "incorrect_cvc",
    message: "Your card's security code is incorrect.",
};
const PROCESSING_ERROR: Decline = Decline {
    code: "processing_error",
    decline_code: "processing_error",
    message: "An error occurred while processing your card. Try again in a little bit.",
};

const fn card(token: &'static str, number: &'static str, outcome: Outcome) -> Card {
    Card { token, number, brand: "visa", outcome, refund: RefundOutcome::Succeed }
}

const fn refuses(token: &'static str, number: &'static str, decline: Decline) -> Card {
    card(token, number, Outcome::Decline(decline))
}

/// <https://docs.stripe.com/testing>, as far as tickets need it.
pub(crate) const CARDS: [Card; 21] = [
    card("pm_card_visa", "4242424242424242", Outcome::Approve),
    card("pm_card_visa_debit", "4000056655665556", Outcome::Approve),
    Card {
        brand: "mastercard",
        ..card("pm_card_mastercard", "5555555555554444", Outcome::Approve)
    },
    Card { brand: "amex", ..card("pm_card_amex", "378282246310005", Outcome::Approve) },
    refuses("pm_card_chargeDeclined", "4000000000000002", declined("generic_decline")),
    refuses("pm_card_visa_chargeDeclined", "4000000000000002", declined("generic_decline")),
    refuses("pm_card_chargeDeclinedInsufficientFunds", "4000000000009995", NO_FUNDS),
    refuses("pm_card_visa_chargeDeclinedInsufficientFunds", "4000000000009995", NO_FUNDS),
    refuses("pm_card_visa_chargeDeclinedLostCard", "4000000000009987", declined("lost_card")),
    refuses("pm_card_visa_chargeDeclinedStolenCard", "4000000000009979", declined("stolen_card")),
    refuses("pm_card_chargeDeclinedExpiredCard", "4000000000000069", EXPIRED),
    refuses("pm_card_chargeDeclinedIncorrectCvc", "4000000000000127", WRONG_CVC),
    refuses("pm_card_chargeDeclinedProcessingError", "4000000000000119", PROCESSING_ERROR),
    refuses("pm_card_chargeDeclinedFraudulent", "4100000000000019", declined("fraudulent")),
    card("pm_card_authenticationRequired", "4000002760003184", Outcome::Challenge(None)),
    card("pm_card_threeDSecure2Required", "4000000000003220", Outcome::Challenge(None)),
    card("pm_card_authenticationRequiredOnSetup", "4000002500003155", Outcome::Challenge(None)),
    card(
        "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
        "4000008260003178",
        Outcome::Challenge(Some(NO_FUNDS)),
    ),
    Card {
        refund: RefundOutcome::SucceedLater,
        ..card("pm_card_pendingRefund", "4000000000007726", Outcome::Approve)
    },
    Card {
        refund: RefundOutcome::FailLater,
        ..card("pm_card_refundFail", "4000000000005126", Outcome::Approve)
    },
    card("pm_usBankAccount_processing", "000123456789", Outcome::Pending),
];

/// The card that a token stands for.
pub(crate) fn by_token(token: &str) -> Option<&'static Card> {
    CARDS.iter().find(|card| card.token == token)
}

/// The card with a number, spaces ignored.
///
/// # Errors
/// How Stripe declines a number that is no test card.
pub(crate) fn by_number(number: &str) -> Result<&'static Card, Decline> {
    let digits: String = number.chars().filter(|character| *character != ' ').collect();
    if let Some(card) = CARDS.iter().find(|card| card.number == digits) {
        return Ok(card);
    }
    Err(if passes_luhn(&digits) { LIVE_CARD } else { INCORRECT_NUMBER })
}

/// The check digit of card numbers (ISO/IEC 7812-1).
fn passes_luhn(digits: &str) -> bool {
    let mut sum = 0;
    for (position, character) in digits.chars().rev().enumerate() {
        let Some(digit) = character.to_digit(10) else { return false };
        let doubled = if position % 2 == 1 { digit * 2 } else { digit };
        sum += if doubled > 9 { doubled - 9 } else { doubled };
    }
    digits.len() >= 12 && sum % 10 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_card_has_a_valid_number_and_strangers_are_declined() {
        for card in CARDS.iter().filter(|card| card.token.starts_with("pm_card_")) {
            assert!(passes_luhn(card.number), "{}", card.token);
        }
        assert_eq!(by_number("4242 4242 4242 4242").unwrap().token, "pm_card_visa");
        assert_eq!(by_number("4242424242424241").unwrap_err(), INCORRECT_NUMBER);
        assert_eq!(by_number("4111111111111111").unwrap_err(), LIVE_CARD);
    }
}
