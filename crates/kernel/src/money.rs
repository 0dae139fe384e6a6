//! Money: whole minor units of one ISO 4217 currency; exact, and refused where it would overflow or
//! mix.

use std::{fmt, str::FromStr};

/// An ISO 4217 alphabetic currency code, in upper case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// An amount in minor units (cents, pence; whole yen) of a currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    /// The amount in minor units.
    pub minor: i64,
    /// The currency.
    pub currency: Currency,
}

/// Money that can't be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The code is not a currency that we know.
    #[error("{0:?} is not a supported ISO 4217 currency code")]
    UnknownCurrency(String),
    /// Two amounts are of different currencies.
    #[error("amounts in {0} and {1} can't be added")]
    MixedCurrencies(Currency, Currency),
    /// The result does not fit.
    #[error("amount out of range")]
    OutOfRange,
}

/// Supported currencies with the number of digits of their minor unit (ISO 4217).
const CURRENCIES: [(&[u8; 3], u32); 34] = [
    (b"AED", 2),
    (b"AUD", 2),
    (b"BGN", 2),
    (b"BHD", 3),
    (b"BRL", 2),
    (b"CAD", 2),
    (b"CHF", 2),
    (b"CLP", 0),
    (b"CNY", 2),
    (b"CZK", 2),
    (b"DKK", 2),
    (b"EUR", 2),
    (b"GBP", 2),
    (b"HKD", 2),
    (b"HUF", 2),
    (b"ILS", 2),
    (b"INR", 2),
    (b"ISK", 0),
    (b"JPY", 0),
    (b"KRW", 0),
    (b"KWD", 3),
    (b"MXN", 2),
    (b"NOK", 2),
    (b"NZD", 2),
    (b"PLN", 2),
    (b"RON", 2),
    (b"SEK", 2),
    (b"SGD", 2),
    (b"THB", 2),
    (b"TND", 3),
    (b"TRY", 2),
    (b"USD", 2),
    (b"VND", 0),
    (b"ZAR", 2),
];

impl Currency {
    /// The euro.
    pub const EUR: Self = Self(*b"EUR");
    /// The United States dollar.
    pub const USD: Self = Self(*b"USD");

    /// The code's three letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }

    /// How many decimal digits the minor unit has.
    #[must_use]
    pub fn digits(&self) -> u32 {
        CURRENCIES.iter().find(|(code, _)| **code == self.0).map_or(2, |(_, digits)| *digits)
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        CURRENCIES
            .iter()
            .find(|(code, _)| code.eq_ignore_ascii_case(text.as_bytes()))
            .map(|(code, _)| Self(**code))
            .ok_or_else(|| MoneyError::UnknownCurrency(text.chars().take(16).collect()))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Money {
    /// An amount in minor units.
    #[must_use]
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Nothing, in `currency`.
    #[must_use]
    pub const fn zero(currency: Currency) -> Self {
        Self { minor: 0, currency }
    }

    /// The sum of two amounts of one currency.
    ///
    /// # Errors
    /// If the currencies differ or the sum does not fit.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::MixedCurrencies(self.currency, other.currency));
        }
        let minor = self.minor.checked_add(other.minor).ok_or(MoneyError::OutOfRange)?;
        Ok(Self { minor, ..self })
    }

    /// This amount less another of the same currency; may be negative.
    ///
    /// # Errors
    /// If the currencies differ or the difference does not fit.
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        let negative = other.minor.checked_neg().ok_or(MoneyError::OutOfRange)?;
        self.plus(Self { minor: negative, ..other })
    }

    /// This amount `count` times.
    ///
    /// # Errors
    /// If the product does not fit.
    pub fn times(self, count: u32) -> Result<Self, MoneyError> {
        let minor = self.minor.checked_mul(i64::from(count)).ok_or(MoneyError::OutOfRange)?;
        Ok(Self { minor, ..self })
    }

    /// Whether the amount is zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.minor == 0
    }
}

impl fmt::Display for Money {
    /// As `12.50 EUR`, with the digits of the currency's minor unit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.currency.digits();
        let scale = 10_u64.pow(digits);
        let sign = if self.minor < 0 { "-" } else { "" };
        let amount = self.minor.unsigned_abs();
        if digits == 0 {
            return write!(f, "{sign}{amount} {}", self.currency);
        }
        let width = digits as usize;
        write!(f, "{sign}{}.{:0width$} {}", amount / scale, amount % scale, self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_add_up_exactly_and_never_mix_or_overflow() {
        let price = Money::new(1_250, Currency::EUR);
        assert_eq!(price.times(3).unwrap(), Money::new(3_750, Currency::EUR));
        assert_eq!(price.minus(price).unwrap(), Money::zero(Currency::EUR));
        assert!(matches!(
            price.plus(Money::new(1, Currency::USD)),
            Err(MoneyError::MixedCurrencies(..))
        ));
        assert_eq!(Money::new(i64::MAX, Currency::EUR).times(2), Err(MoneyError::OutOfRange));
        assert_eq!(price.minus(Money::new(i64::MIN, Currency::EUR)), Err(MoneyError::OutOfRange));
    }

    #[test]
    fn text_follows_the_minor_unit_of_the_currency() {
        assert_eq!(Money::new(-5, Currency::EUR).to_string(), "-0.05 EUR");
        assert_eq!(Money::new(1_200, "jpy".parse().unwrap()).to_string(), "1200 JPY");
        assert_eq!(Money::new(1_200, "KWD".parse().unwrap()).to_string(), "1.200 KWD");
        assert!("XYZ".parse::<Currency>().is_err());
        assert!("EURO".parse::<Currency>().is_err());
    }
}
