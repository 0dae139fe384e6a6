//! The proof that a webhook is Stripe's: an HMAC over its time and body, made with a secret that
//! both know.

use std::time::Duration;

use aws_lc_rs::hmac;
use kernel::{Secret, Timestamp};

/// How far the time in a signature may be from ours: an old webhook can't be played again.
const TOLERANCE: Duration = Duration::from_secs(300);
/// The most signatures looked at; Stripe sends one for each secret while secrets are rolled.
const MAX_SIGNATURES: usize = 8;

/// Why a webhook is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignatureError {
    /// There is no signature, or none that can be read.
    #[error("no signature")]
    Missing,
    /// It was signed too long ago, or in the future.
    #[error("signature too old or from the future")]
    Stale,
    /// It was signed with another secret, or the body was changed.
    #[error("signature does not match")]
    Mismatch,
}

/// Checks a `Stripe-Signature` header: `t=<seconds>,v1=<hex>`, any number of `v1`.
pub(crate) fn verify(
    secret: &Secret<String>,
    header: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<(), SignatureError> {
    let mut seconds = None;
    let mut signatures = Vec::new();
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", text)) => seconds = text.parse::<i64>().ok(),
            Some(("v1", text)) if signatures.len() < MAX_SIGNATURES => {
                signatures.extend(decode(text));
            }
            _ => {}
        }
    }
    let seconds = seconds.ok_or(SignatureError::Missing)?;
    if signatures.is_empty() {
        return Err(SignatureError::Missing);
    }
    let signed_at = Timestamp::from_seconds(seconds);
    if now.since(signed_at) > TOLERANCE || signed_at.since(now) > TOLERANCE {
        return Err(SignatureError::Stale);
    }
    let mut message = format!("{seconds}.").into_bytes();
    message.extend_from_slice(body);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let matches = |tag: &Vec<u8>| hmac::verify(&key, &message, tag).is_ok();
    if signatures.iter().any(matches) { Ok(()) } else { Err(SignatureError::Mismatch) }
}

/// Bytes from hex digits.
fn decode(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|character| character.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits?;
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(high << 4 | low),
        _ => None,
    };
    digits.chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret<String> {
        Secret::new("whsec_test".to_owned())
    }

    #[test]
    fn only_a_fresh_signature_over_this_very_body_is_believed() {
        let now = Timestamp::from_seconds(1_790_000_000);
        let header = stripe_sandbox::signature(&secret(), now.seconds(), b"{}");
        let verdict = |header: &str, body: &[u8], now| verify(&secret(), header, body, now);
        assert_eq!(verdict(&header, b"{}", now), Ok(()));
        assert_eq!(verdict(&header, b"{ }", now), Err(SignatureError::Mismatch));
        let other = Secret::new("whsec_other".to_owned());
        assert_eq!(verify(&other, &header, b"{}", now), Err(SignatureError::Mismatch));

        let edge = Timestamp::from_seconds(now.seconds() + 300);
        assert_eq!(verdict(&header, b"{}", edge), Ok(()));
        let past = Timestamp::from_seconds(now.seconds() + 301);
        assert_eq!(verdict(&header, b"{}", past), Err(SignatureError::Stale));
        let future = Timestamp::from_seconds(now.seconds() - 301);
        assert_eq!(verdict(&header, b"{}", future), Err(SignatureError::Stale));

        for wrong in ["", "t=1", "v1=00", "t=x,v1=00", "nonsense"] {
            assert_eq!(verdict(wrong, b"{}", now), Err(SignatureError::Missing), "{wrong}");
        }
        let forged = header.replace("v1=", "v0=");
        assert_eq!(verdict(&forged, b"{}", now), Err(SignatureError::Missing));
    }

    #[test]
    fn one_good_signature_among_several_is_enough() {
        let now = Timestamp::from_seconds(1_790_000_000);
        let old = Secret::new("whsec_old".to_owned());
        let first = stripe_sandbox::signature(&old, now.seconds(), b"{}");
        let second = stripe_sandbox::signature(&secret(), now.seconds(), b"{}");
        let (_, v1) = second.split_once(',').unwrap();
        assert_eq!(verify(&secret(), &format!("{first},{v1}"), b"{}", now), Ok(()));
        assert_eq!(verify(&secret(), &first, b"{}", now), Err(SignatureError::Mismatch));
    }
}
