//! What access tokens and seals must hold against people who make their own.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use kernel::{
    AccountId, Caller, Clock, Code, Failure, OrganizationId, Role, Secret, SessionId, Timestamp,
};
use serde_json::{Value, json};
use testkit::{ManualClock, SeededIds};

use super::*;

/// An issuer whose key set can be changed, and that counts how often it is asked.
struct Issuer {
    clock: Arc<ManualClock>,
    key_set: Arc<Mutex<Result<String, Failure>>>,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    fn of(keys: &[&SigningKey]) -> Self {
        let issuer = Self {
            clock: Arc::default(),
            key_set: Arc::new(Mutex::new(Ok(String::new()))),
            asked: Arc::default(),
        };
        issuer.publish(keys);
        issuer
    }

    fn publish(&self, keys: &[&SigningKey]) {
        let jwks: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
        *self.key_set.lock().unwrap() = Ok(key_set(&jwks));
    }

    fn verifier(&self) -> Verifier {
        let (key_set, asked) = (self.key_set.clone(), self.asked.clone());
        let source: KeySource = Arc::new(move || {
            asked.fetch_add(1, Ordering::SeqCst);
            let answer = key_set.lock().unwrap().clone();
            Box::pin(async move { answer })
        });
        Verifier::new(source, self.clock.clone())
    }

    fn claims(&self) -> Claims {
        let (ids, now) = (SeededIds::new(7), self.clock.now());
        Claims {
            account: AccountId::new(&ids, now),
            session: SessionId::new(&ids, now),
            role: Role::Organization,
            organization: Some(OrganizationId::new(&ids, now)),
            expires_at: now.plus(Duration::from_secs(900)),
        }
    }
}

fn new_key(key_id: &str) -> SigningKey {
    SigningKey::from_pkcs8(key_id, &SigningKey::generate().unwrap()).unwrap()
}

/// A token of these parts, with the signature of another.
fn forged(header: &Value, payload: &Value, signature: &str) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(payload))
}

fn payload_of(token: &str) -> Value {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// As many as wait for a fetch.
const MAX_WAITING: usize = 64;

fn is_refused<T>(result: Result<T, Failure>) -> bool {
    matches!(result, Err(failure) if failure.code == Code::Unauthenticated)
}

#[tokio::test]
async fn a_signed_token_names_its_caller_until_it_expires() {
    let key = new_key("k1");
    let issuer = Issuer::of(&[&key]);
    let (verifier, claims) = (issuer.verifier(), issuer.claims());
    let token = key.sign(&claims, issuer.clock.now()).unwrap();

    assert_eq!(verifier.verify(&token).await.unwrap(), claims);
    assert_eq!(payload_of(&token)["iss"], "boxoffice");
    let header = format!("bearer {token}");
    assert_eq!(verifier.caller(Some(&header)).await.unwrap(), claims.caller());
    assert_eq!(verifier.caller(None).await.unwrap(), Caller::Anonymous);
    assert!(is_refused(verifier.caller(Some("Basic YTpi")).await));
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 1, "keys are fetched once");

    // Remembered or not, it ends with its time.
    issuer.clock.set(claims.expires_at);
    assert!(is_refused(verifier.verify(&token).await));
    assert!(is_refused(issuer.verifier().verify(&token).await));
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let (key, stranger) = (new_key("k1"), new_key("k1"));
    let issuer = Issuer::of(&[&key]);
    let (verifier, claims, now) = (issuer.verifier(), issuer.claims(), issuer.clock.now());
    let token = key.sign(&claims, now).unwrap();
    let signature = token.rsplit('.').next().unwrap();
    let payload = payload_of(&token);
    let mut admin = payload.clone();
    admin["role"] = "admin".into();
    let header = |alg: &str| json!({ "typ": "JWT", "alg": alg, "kid": "k1" });

    // HMAC with the public key as its secret is the classic confusion of algorithms.
    let public = BASE64_URL_SAFE_NO_PAD.decode(key.jwk()["x"].as_str().unwrap()).unwrap();
    let mut hs256 = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    hs256.kid = Some("k1".to_owned());
    let secret = jsonwebtoken::EncodingKey::from_secret(&public);

    let forgeries = [
        ("changed claims", forged(&header("EdDSA"), &admin, signature)),
        ("another's key", stranger.sign(&claims, now).unwrap()),
        ("no algorithm", forged(&header("none"), &admin, "")),
        ("no algorithm, old signature", forged(&header("none"), &payload, signature)),
        ("another algorithm", forged(&header("RS256"), &payload, signature)),
        ("hmac", jsonwebtoken::encode(&hs256, &payload, &secret).unwrap()),
        ("no key id", forged(&json!({ "alg": "EdDSA" }), &payload, signature)),
        ("no signature", forged(&header("EdDSA"), &payload, "")),
        ("two parts", token.rsplit_once('.').unwrap().0.to_owned()),
        ("nothing", String::new()),
        ("huge", format!("{token}{}", "A".repeat(5_000))),
    ];
    for (what, forgery) in forgeries {
        assert!(is_refused(verifier.verify(&forgery).await), "{what}");
    }
    assert!(verifier.verify(&token).await.is_ok(), "the real one still counts");
}

#[tokio::test]
async fn claims_that_can_not_be_are_refused() {
    let key = new_key("k1");
    let issuer = Issuer::of(&[&key]);
    let (verifier, claims, now) = (issuer.verifier(), issuer.claims(), issuer.clock.now());
    let future = key.sign(&claims, now.plus(Duration::from_secs(120))).unwrap();
    assert!(is_refused(verifier.verify(&future).await));
    let skewed = key.sign(&claims, now.plus(Duration::from_secs(30))).unwrap();
    assert!(verifier.verify(&skewed).await.is_ok());

    let header = jsonwebtoken::Header {
        kid: Some("k1".to_owned()),
        ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA)
    };
    let good = payload_of(&skewed);
    for (claim, value) in [
        ("iss", json!("elsewhere")),
        ("iss", Value::Null),
        ("sub", json!("me")),
        ("role", json!("root")),
        ("org", json!("x")),
        ("exp", Value::Null),
        ("exp", json!(i64::MIN)),
        ("iat", json!("now")),
    ] {
        let mut payload = good.clone();
        payload[claim] = value.clone();
        let token = jsonwebtoken::encode(&header, &payload, &key.key).unwrap();
        assert!(is_refused(verifier.verify(&token).await), "{claim} = {value}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_when_unknown_but_never_at_a_strangers_pace() {
    let (old, new) = (new_key("old"), new_key("new"));
    let issuer = Issuer::of(&[&old]);
    let (verifier, claims, now) = (issuer.verifier(), issuer.claims(), issuer.clock.now());
    let old_token = old.sign(&claims, now).unwrap();
    let new_token = new.sign(&claims, now).unwrap();
    verifier.verify(&old_token).await.unwrap();

    // It may have been made since: that is waited for, by so many, and fetched once for all.
    issuer.clock.advance(Duration::from_millis(500));
    let all = (0..50).map(|_| verifier.verify(&new_token));
    let started = tokio::time::Instant::now();
    assert!(futures_util::future::join_all(all).await.into_iter().all(is_refused));
    assert_eq!(started.elapsed().as_millis().div_ceil(10), 150);
    for _ in 0..50 {
        assert!(is_refused(verifier.verify(&new_token).await), "nobody has made it");
    }
    assert_eq!(started.elapsed().as_millis().div_ceil(10), 150, "which is known by now");
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 2);

    issuer.publish(&[&old, &new]);
    issuer.clock.advance(Duration::from_secs(4));
    let all = (0..20).map(|_| verifier.verify(&new_token));
    assert!(futures_util::future::join_all(all).await.iter().all(Result::is_ok));
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 3, "callers that meet share one fetch");

    // One that is made just after a fetch signs nobody out.
    let newer = new_key("newer");
    issuer.publish(&[&old, &new, &newer]);
    let token = newer.sign(&claims, now).unwrap();
    issuer.clock.advance(Duration::from_millis(1));
    let many = (0..100).map(|_| verifier.verify(&token));
    let many = futures_util::future::join_all(many).await;
    assert_eq!(many.iter().filter(|its| its.is_ok()).count(), MAX_WAITING);
    let told = |its: &Result<_, Failure>| its.as_ref().err().map(|its| its.code);
    assert!(many.iter().filter_map(told).all(|code| code == Code::Unavailable));

    // A withdrawn key is not trusted for longer than keys are kept, not even where its tokens are
    // remembered.
    issuer.publish(&[&new]);
    issuer.clock.advance(Duration::from_secs(603));
    let fresh = new.sign(&claims, now.plus(Duration::from_secs(1))).unwrap();
    verifier.verify(&fresh).await.unwrap();
    assert!(is_refused(verifier.verify(&old_token).await));
}

#[tokio::test]
async fn an_issuer_that_is_down_leaves_known_keys_in_use() {
    let key = new_key("k1");
    let issuer = Issuer::of(&[&key]);
    let token = key.sign(&issuer.claims(), issuer.clock.now()).unwrap();
    let (early, late) = (issuer.verifier(), issuer.verifier());
    early.verify(&token).await.unwrap();

    *issuer.key_set.lock().unwrap() = Err(Failure::unavailable("connection refused"));
    issuer.clock.advance(Duration::from_secs(700));
    let other = key.sign(&issuer.claims(), issuer.clock.now()).unwrap();
    assert!(early.verify(&other).await.is_ok());
    for _ in 0..2 {
        assert_eq!(late.verify(&token).await.unwrap_err().code, Code::Unavailable);
    }
    *issuer.key_set.lock().unwrap() = Ok("<html>".to_owned());
    issuer.clock.advance(Duration::from_secs(3));
    assert_eq!(late.verify(&token).await.unwrap_err().code, Code::Unavailable);
}

#[test]
fn a_seal_opens_for_its_purpose_and_time_only() {
    let seal = Seal::new(&Secret::new(vec![7; 32]));
    let other = Seal::new(&Secret::new(vec![8; 32]));
    let now = Timestamp::from_seconds(1_800_000_000);
    let expires_at = now.plus(Duration::from_secs(60));
    let text = seal.seal("admission", "event:1 account:2", expires_at);

    let opened = seal.open("admission", &text, now).unwrap();
    assert_eq!(opened, ("event:1 account:2".to_owned(), expires_at));
    let reason = |result: Result<_, Failure>| result.map(|_| ()).unwrap_err().reason;
    assert_eq!(reason(seal.open("admission", &text, expires_at)), "EXPIRED_TOKEN");
    assert_eq!(reason(seal.open("admissio", &text, now)), "INVALID_TOKEN");
    assert_eq!(reason(other.open("admission", &text, now)), "INVALID_TOKEN");
    for text in ["", "AAAA", "not base64!", &"A".repeat(10_000)] {
        assert_eq!(reason(seal.open("admission", text, now)), "INVALID_TOKEN");
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(&text).unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let changed = BASE64_URL_SAFE_NO_PAD.encode(changed);
        assert_eq!(reason(seal.open("admission", &changed, now)), "INVALID_TOKEN", "byte {at}");
    }
}

#[test]
fn what_is_no_ed25519_key_is_refused() {
    let mut key = SigningKey::generate().unwrap().expose().clone();
    key.truncate(20);
    for bytes in [key, Vec::new(), b"-----BEGIN PRIVATE KEY-----".to_vec()] {
        assert!(SigningKey::from_pkcs8("k1", &Secret::new(bytes)).is_err());
    }
}
