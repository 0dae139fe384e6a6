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

/// Characters of a reference that its moment chooses: 20 bits.
const TIME_LENGTH: u32 = 4;
/// Characters of a reference that chance chooses: 40 bits.
const RANDOM_LENGTH: usize = 8;
/// For how long references begin alike: 2^16 microseconds.
const TICK_BITS: u32 = 16;

/// A short reference for people: `prefix` and 12 characters of Crockford's base 32. The first four
/// tell the moment `now`, to 66 ms and in a circle of 19 hours, so that references made together
/// are together in an index, however large it is; the others are random.
#[must_use]
pub fn reference(prefix: &str, ids: &dyn Ids, now: Timestamp) -> String {
    let mut random = [0_u8; RANDOM_LENGTH];
    ids.fill(&mut random);
    let ticks = now.micros() >> TICK_BITS;
    let time = (0..TIME_LENGTH).rev().map(|place| (ticks >> (5 * place)) as u8);
    let letter = |byte: u8| CROCKFORD.get(usize::from(byte & 31)).map(|letter| char::from(*letter));
    let mut text = String::with_capacity(prefix.len() + TIME_LENGTH as usize + RANDOM_LENGTH);
    text.push_str(prefix);
    text.extend(time.chain(random).filter_map(letter));
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
        let text = reference("BKG", &Counting(200.into()), Timestamp::from_seconds(1_800_000_000));
        assert_eq!(text.len(), 15);
        assert!(!text[3..].contains(['I', 'L', 'O', 'U']));
    }

    #[test]
    fn references_made_together_begin_alike_and_later_ones_come_later() {
        let ids = Counting(0.into());
        let begins = |ms: i64| {
            let at = Timestamp::from_micros(1_800_000_000_000_000 + ms * 1_000);
            reference("TKT", &ids, at)[3..7].to_owned()
        };
        let (first, second, third) = (begins(0), begins(1_000), begins(60_000));
        assert!(first < second && second < third, "{first} {second} {third}");
        assert_eq!(begins(0), first);
        let cycle = i64::try_from((1_u64 << 36) / 1_000).unwrap();
        assert!([first, begins(1)].contains(&begins(cycle)), "after 19 hours");
        assert_ne!(
            reference("TKT", &ids, Timestamp::EPOCH),
            reference("TKT", &ids, Timestamp::EPOCH)
        );
    }
}
