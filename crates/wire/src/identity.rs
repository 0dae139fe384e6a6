//! The caller's identity as it travels between processes: a line of text and its HMAC-SHA256 under
//! the mesh's key, both in base64url. Whoever holds the key may speak for anybody, so it never
//! leaves the platform.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use http::HeaderValue;
use kernel::{Caller, Clock, Code, Failure, Secret};

/// How far the clocks of two processes may differ, and how long a signature is good, in seconds.
const MAX_AGE_SECONDS: u64 = 120;
/// Opens every signed line, so that no other text under the same key can be taken for one.
const VERSION: &str = "boxoffice-caller/1";

/// Signs and verifies callers.
pub(crate) struct Signer {
    key: hmac::Key,
    clock: Arc<dyn Clock>,
}

impl Signer {
    pub(crate) fn new(key: &Secret<Vec<u8>>, clock: Arc<dyn Clock>) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key.expose()), clock }
    }

    /// The signed header of `caller`; none for an anonymous one.
    pub(crate) fn sign(&self, caller: &Caller) -> Option<HeaderValue> {
        let text = text(caller, self.clock.now().seconds())?;
        let tag = hmac::sign(&self.key, text.as_bytes());
        let mut header = BASE64.encode(text);
        header.push('.');
        BASE64.encode_string(tag, &mut header);
        HeaderValue::try_from(header).ok()
    }

    /// The caller of a signed header.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the signature is not ours or not of now.
    pub(crate) fn verify(&self, header: &HeaderValue) -> Result<Caller, Failure> {
        self.read(header.as_bytes()).ok_or_else(|| {
            let detail = "the caller's identity is not signed by this platform, or is too old";
            Failure::new(Code::Unauthenticated, "CALLER_REFUSED", detail)
        })
    }

    fn read(&self, header: &[u8]) -> Option<Caller> {
        let dot = header.iter().position(|byte| *byte == b'.')?;
        let text = BASE64.decode(header.get(..dot)?).ok()?;
        let tag = BASE64.decode(header.get(dot + 1..)?).ok()?;
        hmac::verify(&self.key, &text, &tag).ok()?;
        let (caller, issued_at) = parse(std::str::from_utf8(&text).ok()?)?;
        let age = self.clock.now().seconds().abs_diff(issued_at);
        (age <= MAX_AGE_SECONDS).then_some(caller)
    }
}

fn text(caller: &Caller, now: i64) -> Option<String> {
    let or_dash = |id: Option<String>| id.unwrap_or_else(|| "-".to_owned());
    match caller {
        Caller::Anonymous => None,
        Caller::Account { id, role, organization, session } => {
            let organization = or_dash(organization.map(|id| id.to_string()));
            let session = or_dash(session.map(|id| id.to_string()));
            Some(format!("{VERSION} {now} account {id} {role} {organization} {session}"))
        }
        Caller::Service(name) => Some(format!("{VERSION} {now} service {name}")),
    }
}

/// The caller, and when it was signed in seconds since the epoch.
fn parse(text: &str) -> Option<(Caller, i64)> {
    let words: Vec<&str> = text.split(' ').collect();
    let (issued_at, caller) = match *words.as_slice() {
        [VERSION, at, "account", id, role, organization, session] => {
            let optional = |text| Some(text).filter(|text| *text != "-");
            let caller = Caller::Account {
                id: id.parse().ok()?,
                role: role.parse().ok()?,
                organization: optional(organization).map(str::parse).transpose().ok()?,
                session: optional(session).map(str::parse).transpose().ok()?,
            };
            (at, caller)
        }
        [VERSION, at, "service", name] => (at, Caller::Service(name.to_owned())),
        _ => return None,
    };
    Some((caller, issued_at.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use kernel::{AccountId, OrganizationId, Role, SessionId, Timestamp};

    use super::*;

    struct Hands(AtomicI64);

    impl Clock for Hands {
        fn now(&self) -> Timestamp {
            Timestamp::from_seconds(self.0.load(Ordering::Relaxed))
        }
    }

    fn callers() -> [Caller; 3] {
        let uuid = "018f0000-0000-7000-8000-000000000001";
        let account = |organization: Option<OrganizationId>, session: Option<SessionId>| {
            let id: AccountId = uuid.parse().unwrap();
            Caller::Account { id, role: Role::Organization, organization, session }
        };
        [
            account(Some(uuid.parse().unwrap()), Some(uuid.parse().unwrap())),
            account(None, None),
            Caller::Service("booking-worker".into()),
        ]
    }

    #[test]
    fn a_caller_arrives_as_it_was_signed_while_the_signature_is_fresh() {
        let clock = Arc::new(Hands(AtomicI64::new(1_000)));
        let signer = Signer::new(&Secret::new(vec![7; 32]), clock.clone());
        for caller in callers() {
            clock.0.store(1_000, Ordering::Relaxed);
            let header = signer.sign(&caller).unwrap();
            for (now, fresh) in [(1_000, true), (1_120, true), (1_121, false), (879, false)] {
                clock.0.store(now, Ordering::Relaxed);
                let arrived = signer.verify(&header).ok();
                assert_eq!(arrived, fresh.then(|| caller.clone()), "at {now}");
            }
        }
        assert_eq!(signer.sign(&Caller::Anonymous), None);
    }

    #[test]
    fn whatever_is_changed_the_signature_is_refused() {
        let clock = Arc::new(Hands(AtomicI64::new(1_000)));
        let signer = Signer::new(&Secret::new(vec![7; 32]), clock.clone());
        let foreign = Signer::new(&Secret::new(vec![8; 32]), clock);
        for caller in callers() {
            let header = signer.sign(&caller).unwrap();
            assert!(foreign.verify(&header).is_err());
            for at in 0..header.len() {
                let mut bytes = header.as_bytes().to_vec();
                bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
                let changed = HeaderValue::from_bytes(&bytes).unwrap();
                assert!(signer.verify(&changed).is_err(), "byte {at}");
            }
        }
        for text in ["", ".", "a.b", "YQ.YQ", "ÿ"] {
            let header = HeaderValue::from_bytes(text.as_bytes()).unwrap();
            assert!(signer.verify(&header).is_err(), "{text:?}");
        }
    }
}
