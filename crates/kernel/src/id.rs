//! Identifiers: UUIDv7 (RFC 9562) newtypes for machines, short references for people, and where
//! randomness comes from.

use std::{fmt, str::FromStr, sync::Arc};

use uuid::Uuid;

use crate::Timestamp;

/// The text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind} id")]
pub struct IdError {
    kind: &'static str,
}

/// Where ids and other randomness come from. Production draws from the operating system, tests from
/// a seed.
pub trait Ids: Send + Sync + 'static {
    /// Fills `bytes` with randomness fit for secrets.
    fn fill(&self, bytes: &mut [u8]);

    /// A new UUIDv7 made at `now`.
    fn uuid(&self, now: Timestamp) -> Uuid {
        let mut random = [0_u8; 10];
        self.fill(&mut random);
        let millis = u64::try_from(now.micros().div_euclid(1_000)).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}

impl<I: Ids + ?Sized> Ids for Arc<I> {
    fn fill(&self, bytes: &mut [u8]) {
        (**self).fill(bytes);
    }
}

/// Crockford's base 32: no I, L, O or U, so that a reference survives a phone call.
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A short reference for people: `prefix` and 12 characters (60 bits) of Crockford's base 32.
#[must_use]
pub fn reference(prefix: &str, ids: &dyn Ids) -> String {
    let mut random = [0_u8; 12];
    ids.fill(&mut random);
    let mut text = String::with_capacity(prefix.len() + random.len());
    text.push_str(prefix);
    text.extend(random.iter().filter_map(|byte| {
        CROCKFORD.get(usize::from(byte & 31)).map(|character| char::from(*character))
    }));
    text
}

macro_rules! id {
    ($(#[$meta:meta])* $name:ident, $kind:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id made at `now`.
            #[must_use]
            pub fn new(ids: &dyn Ids, now: Timestamp) -> Self {
                Self(ids.uuid(now))
            }

            /// The id that a UUID stands for.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID behind the id.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::try_parse(text).map(Self).map_err(|_| IdError { kind: $kind })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}:{}", $kind, self.0)
            }
        }
    };
}

id!(
    /// A person's account; the same id names the person in every service.
    AccountId, "account");
id!(
    /// A signed-in session: one family of refresh tokens.
    SessionId, "session");
id!(
    /// An organization that sells tickets.
    OrganizationId, "organization");
id!(
    /// A venue with its seating layout.
    VenueId, "venue");
id!(
    /// An event on sale.
    EventId, "event");
id!(
    /// A hold: seats or admissions set aside for a time.
    HoldId, "hold");
id!(
    /// One ticket for one seat or admission.
    TicketId, "ticket");
id!(
    /// One booking.
    BookingId, "booking");
id!(
    /// One payment at the provider.
    PaymentId, "payment");
id!(
    /// One refund of a payment.
    RefundId, "refund");
id!(
    /// One mail.
    MailId, "mail");
id!(
    /// One event message; consumers remember it to stay idempotent.
    MessageId, "message");

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(std::sync::atomic::AtomicU8);

    impl Ids for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        }
    }

    #[test]
    fn ids_are_version_7_and_sort_by_time() {
        let ids = Counting(0.into());
        let early = BookingId::new(&ids, Timestamp::from_seconds(1_000));
        let late = BookingId::new(&ids, Timestamp::from_seconds(1_001));
        assert_eq!(early.uuid().get_version_num(), 7);
        assert!(early < late);
        assert_eq!(early.to_string().parse::<BookingId>().unwrap(), early);
    }

    #[test]
    fn text_that_is_no_id_is_refused() {
        for text in ["", "1", "not-an-id", "018f0000-0000-7000-8000-00000000000", "\u{0}"] {
            assert!(text.parse::<EventId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn references_avoid_letters_that_are_confused() {
        let text = reference("BKG", &Counting(200.into()));
        assert_eq!(text.len(), 15);
        assert!(!text[3..].contains(['I', 'L', 'O', 'U']));
    }
}
