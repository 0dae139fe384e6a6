//! Ticket codes: what a QR code holds. Signed with Ed25519 (RFC 8032), so that a door without a
//! network can tell a forged one.
//!
//! `BX1.` and, in URL-safe base64 without padding: version (1 byte), key id (4), ticket id (16),
//! event id (16), seconds since 1970 until which it is good (8, big endian), signature (64): 150
//! characters.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use kernel::{EventId, TicketId, Timestamp};
use uuid::Uuid;

/// What every code begins with.
pub const PREFIX: &str = "BX1.";
const VERSION: u8 = 1;
const KEY_ID_BYTES: usize = 4;
const PAYLOAD_BYTES: usize = 1 + KEY_ID_BYTES + 16 + 16 + 8;
const SIGNATURE_BYTES: usize = 64;
/// Signed ahead of the payload, so that a signature for another purpose is none for a ticket.
const DOMAIN: &[u8] = b"boxoffice ticket code\0";

/// What a code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// The ticket.
    pub ticket_id: TicketId,
    /// The event it lets in to.
    pub event_id: EventId,
    /// Until when it is good.
    pub valid_until: Timestamp,
}

/// Why a code is not one of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// The text has not the form of a code.
    #[error("not a ticket code")]
    Malformed,
    /// The key that it names is not known here.
    #[error("signed with a key that is not known: {0}")]
    UnknownKey(String),
    /// The signature is wrong.
    #[error("signature is wrong")]
    Forged,
}

/// The code of a ticket, signed with `key`. `key_id` is 8 hexadecimal digits.
#[must_use]
pub fn sign(code: &Code, key_id: u32, key: &Ed25519KeyPair) -> String {
    let mut bytes = Vec::with_capacity(PAYLOAD_BYTES + SIGNATURE_BYTES);
    bytes.push(VERSION);
    bytes.extend(key_id.to_be_bytes());
    bytes.extend(code.ticket_id.uuid().as_bytes());
    bytes.extend(code.event_id.uuid().as_bytes());
    bytes.extend(code.valid_until.seconds().to_be_bytes());
    let signature = key.sign(&[DOMAIN, &bytes].concat());
    bytes.extend(signature.as_ref());
    let mut text = PREFIX.to_owned();
    URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
    text
}

/// What `code` says, if one of `keys` (key id and public key) signed it. Needs no database: a door
/// may do this offline, with the keys it was given before. Whether it is still good is for the
/// caller to compare.
///
/// # Errors
/// Why it is not a code of ours.
pub fn verify<I: AsRef<str>, K: AsRef<[u8]>>(
    code: &str,
    keys: &[(I, K)],
) -> Result<Code, CodeError> {
    let (payload, signature) = take_apart(code).ok_or(CodeError::Malformed)?;
    let (version, rest) = split::<1>(&payload).ok_or(CodeError::Malformed)?;
    let (key_id, rest) = split::<KEY_ID_BYTES>(rest).ok_or(CodeError::Malformed)?;
    let (ticket_id, rest) = split::<16>(rest).ok_or(CodeError::Malformed)?;
    let (event_id, rest) = split::<16>(rest).ok_or(CodeError::Malformed)?;
    let (until, rest) = split::<8>(rest).ok_or(CodeError::Malformed)?;
    if version != [VERSION] || !rest.is_empty() {
        return Err(CodeError::Malformed);
    }
    let key_id = format!("{:08x}", u32::from_be_bytes(key_id));
    let key = keys.iter().find(|(id, _)| id.as_ref() == key_id);
    let Some((_, key)) = key else { return Err(CodeError::UnknownKey(key_id)) };
    UnparsedPublicKey::new(&ED25519, key.as_ref())
        .verify(&[DOMAIN, &payload].concat(), &signature)
        .map_err(|_| CodeError::Forged)?;
    Ok(Code {
        ticket_id: TicketId::from_uuid(Uuid::from_bytes(ticket_id)),
        event_id: EventId::from_uuid(Uuid::from_bytes(event_id)),
        valid_until: Timestamp::from_seconds(i64::from_be_bytes(until)),
    })
}

/// Payload and signature of a code.
fn take_apart(code: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let text = code.strip_prefix(PREFIX)?;
    // Longer than any code of ours: not worth decoding.
    if text.len() > 2 * (PAYLOAD_BYTES + SIGNATURE_BYTES) {
        return None;
    }
    let mut payload = URL_SAFE_NO_PAD.decode(text).ok()?;
    if payload.len() != PAYLOAD_BYTES + SIGNATURE_BYTES {
        return None;
    }
    let signature = payload.split_off(PAYLOAD_BYTES);
    Some((payload, signature))
}

fn split<const N: usize>(bytes: &[u8]) -> Option<([u8; N], &[u8])> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    Some((*first, rest))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::KeyPair as _;

    use super::*;

    #[test]
    fn a_code_is_short_and_only_the_key_that_signed_it_verifies_it_unchanged() {
        let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
        let public = |key: &Ed25519KeyPair| key.public_key().as_ref().to_vec();
        let code = Code {
            ticket_id: TicketId::from_uuid(Uuid::from_u128(1)),
            event_id: EventId::from_uuid(Uuid::from_u128(2)),
            valid_until: Timestamp::from_seconds(1_800_000_000),
        };
        let text = sign(&code, 0xab, &key);
        assert_eq!(text.len(), 150);
        let keys = [("000000aa", public(&other)), ("000000ab", public(&key))];
        assert_eq!(verify(&text, &keys), Ok(code));

        assert_eq!(verify(&text, &keys[..1]), Err(CodeError::UnknownKey("000000ab".into())));
        assert_eq!(verify(&text, &[("000000ab", public(&other))]), Err(CodeError::Forged));
        for at in PREFIX.len()..text.len() {
            let mut forged = text.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert!(verify(&forged, &keys).is_err(), "changed at {at}");
        }
        for text in ["", "BX1.", "BX2.AAAA", "hello", &text[..149], &format!("{text}A")] {
            assert_eq!(verify(text, &keys), Err(CodeError::Malformed), "{text}");
        }
    }
}
