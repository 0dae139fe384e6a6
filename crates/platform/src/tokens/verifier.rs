//! Verifies access tokens: signature, algorithm, issuer and time, with keys that are fetched from
//! the issuer.

use std::{
    collections::{HashMap, HashSet},
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use kernel::{Caller, Clock, Code, Failure, Timestamp};
use moka::future::Cache;
use serde::Deserialize;
use tokio::sync::{Mutex, Semaphore};

use super::{Claims, ISSUER, Payload};

/// The longest token that is looked at.
const MAX_TOKEN_BYTES: usize = 4_096;
/// The longest key set, and the most keys of it, that are read.
const MAX_KEY_SET_BYTES: usize = 65_536;
const MAX_KEYS: usize = 32;
/// The most verified tokens that are remembered, about 300 bytes each: a big sale's waiting room,
/// where each of them asks every few seconds.
const MAX_VERIFIED: u64 = 120_000;
/// The most callers that wait until keys may be fetched again.
const MAX_WAITING: usize = 64;
/// The most key ids that are remembered as not known to the issuer.
const MAX_UNKNOWN: usize = 64;
/// Keys are not fetched again sooner than this, whatever key ids tokens name. A key that was made
/// since the last fetch (another replica of the issuer may have made it) is asked for again then.
const FETCH_GAP: Duration = Duration::from_secs(2);
/// Keys are fetched again after this, so that one which was withdrawn is not trusted for ever.
const KEYS_FRESH: Duration = Duration::from_secs(600);
/// How far the issuer's clock may be ahead of ours.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// Where a [`Verifier`] gets the JWK set (as JSON) from.
pub type KeySource =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<String, Failure>> + Send>> + Send + Sync>;

/// Verifies access tokens with the issuer's public keys, which it fetches when it meets an unknown
/// key id (at most once a few seconds, one fetch at a time). Cheap to clone.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    source: KeySource,
    clock: Arc<dyn Clock>,
    keys: RwLock<Keys>,
    /// When keys were last asked for. Held during a fetch, so that there is one at a time.
    asked_at: Mutex<Option<Timestamp>>,
    /// Places for those who wait for the next fetch.
    waiting: Semaphore,
    /// By the token's SHA-256: a signature costs 40 times what a look-up does.
    verified: Cache<[u8; 32], Arc<Claims>>,
    validation: Validation,
}

#[derive(Default)]
struct Keys {
    by_id: HashMap<String, Arc<DecodingKey>>,
    fetched_at: Timestamp,
    /// Ids that were asked for before these keys were fetched, and are not among them.
    unknown: HashSet<String>,
}

/// What was found of a key.
enum Found {
    Key(Arc<DecodingKey>),
    /// It may have been made since the last fetch; the next one may be made after this.
    NotYet(Duration),
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    #[serde(default)]
    kty: String,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    kid: String,
    #[serde(default)]
    x: String,
}

impl Verifier {
    /// A verifier that gets its keys from `source`.
    #[must_use]
    pub fn new(source: KeySource, clock: Arc<dyn Clock>) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["iss"]);
        // The library reads the wall clock; time is checked here, with ours.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        Self(Arc::new(Inner {
            source,
            clock,
            keys: RwLock::default(),
            asked_at: Mutex::new(None),
            waiting: Semaphore::new(MAX_WAITING),
            verified: Cache::new(MAX_VERIFIED),
            validation,
        }))
    }

    /// Verifies signature, issuer, algorithm and time.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, with what is wrong for people; `UNAVAILABLE` if keys can't be had.
    pub async fn verify(&self, token: &str) -> Result<Claims, Failure> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(refused("the token is too long"));
        }
        let now = self.0.clock.now();
        let hash = sha256(token);
        if let Some(claims) = self.0.verified.get(&hash).await {
            return if claims.expires_at > now { Ok((*claims).clone()) } else { Err(expired()) };
        }
        let header =
            jsonwebtoken::decode_header(token).map_err(|_| refused("the token is no token"))?;
        if header.alg != Algorithm::EdDSA {
            return Err(refused("the token's algorithm is not accepted"));
        }
        let key_id = header.kid.ok_or_else(|| refused("the token names no key"))?;
        let key = self.0.key(&key_id, now).await?;
        let payload = jsonwebtoken::decode::<Payload>(token, &key, &self.0.validation)
            .map_err(|_| refused("the token's signature or content is not valid"))?
            .claims;
        let claims = read(&payload, now)?;
        self.0.verified.insert(hash, Arc::new(claims.clone())).await;
        Ok(claims)
    }

    /// Verifies the bearer token of an `Authorization` header's value; no header is
    /// [`Caller::Anonymous`].
    ///
    /// # Errors
    /// As [`Verifier::verify`], and if the header is no bearer token.
    pub async fn caller(&self, authorization: Option<&str>) -> Result<Caller, Failure> {
        let Some(value) = authorization else {
            return Ok(Caller::Anonymous);
        };
        match value.trim().split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                Ok(self.verify(token.trim()).await?.caller())
            }
            _ => Err(refused("the authorization header holds no bearer token")),
        }
    }
}

impl Inner {
    /// The key called `key_id`, fetched if need be. One that may have been made since the last
    /// fetch is waited for: to refuse its tokens would sign people out.
    async fn key(&self, key_id: &str, now: Timestamp) -> Result<Arc<DecodingKey>, Failure> {
        let wait = match self.look_up(key_id, now).await? {
            Found::Key(key) => return Ok(key),
            Found::NotYet(wait) => wait,
        };
        let Ok(_waiting) = self.waiting.try_acquire() else { return Err(no_keys()) };
        tokio::time::sleep(wait).await;
        match self.look_up(key_id, now.plus(wait)).await? {
            Found::Key(key) => Ok(key),
            Found::NotYet(_) => Err(no_keys()),
        }
    }

    async fn look_up(&self, key_id: &str, now: Timestamp) -> Result<Found, Failure> {
        let (known, fresh) = self.known(key_id, now);
        if let (Some(key), true) = (&known, fresh) {
            return Ok(Found::Key(key.clone()));
        }
        let fetched = match &known {
            // A key that is only old is used while somebody else fetches.
            Some(_) => match self.asked_at.try_lock() {
                Ok(mut asked_at) => self.fetch(&mut asked_at, now).await,
                Err(_) => Ok(()),
            },
            None => {
                let mut asked_at = self.asked_at.lock().await;
                // Somebody may have fetched it while this one waited.
                match self.known(key_id, now) {
                    (Some(_), true) => Ok(()),
                    _ => self.fetch(&mut asked_at, now).await,
                }
            }
        };
        match (known, fetched) {
            (Some(key), Err(failure)) => {
                tracing::warn!(%failure, "token keys not fetched, old ones used");
                Ok(Found::Key(key))
            }
            (None, Err(failure)) => Err(failure),
            (_, Ok(())) => match self.known(key_id, now).0 {
                Some(key) => Ok(Found::Key(key)),
                None => self.unknown(key_id, now),
            },
        }
    }

    /// A key that was asked for before the last fetch does not exist; another may be newer.
    fn unknown(&self, key_id: &str, now: Timestamp) -> Result<Found, Failure> {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if keys.fetched_at < now && !keys.unknown.contains(key_id) {
            return Ok(Found::NotYet(FETCH_GAP.saturating_sub(now.since(keys.fetched_at))));
        }
        if keys.unknown.len() < MAX_UNKNOWN {
            keys.unknown.insert(key_id.to_owned());
        }
        Err(refused("the token's key is not known"))
    }

    /// The key called `key_id`, if it is known, and whether the keys were fetched lately.
    fn known(&self, key_id: &str, now: Timestamp) -> (Option<Arc<DecodingKey>>, bool) {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        (keys.by_id.get(key_id).cloned(), now.since(keys.fetched_at) < KEYS_FRESH)
    }

    /// Fetches the keys, unless that was tried a moment ago.
    async fn fetch(&self, asked_at: &mut Option<Timestamp>, now: Timestamp) -> Result<(), Failure> {
        if asked_at.is_some_and(|at| now.since(at) < FETCH_GAP) {
            let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
            return if keys.fetched_at == Timestamp::EPOCH { Err(no_keys()) } else { Ok(()) };
        }
        *asked_at = Some(now);
        let text = (self.source)().await.map_err(|failure| {
            tracing::warn!(%failure, "token keys can't be fetched");
            no_keys()
        })?;
        let by_id = read_keys(&text).map_err(|detail| {
            tracing::warn!(detail, "token keys can't be read");
            no_keys()
        })?;
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if keys.by_id.keys().any(|key_id| !by_id.contains_key(key_id)) {
            // What a withdrawn key has signed is not trusted any more.
            self.verified.invalidate_all();
        }
        let mut unknown = std::mem::take(&mut keys.unknown);
        // Once it is full, only those that are asked for again come back.
        if unknown.len() >= MAX_UNKNOWN {
            unknown.clear();
        }
        unknown.retain(|key_id| !by_id.contains_key(key_id));
        *keys = Keys { by_id, fetched_at: now, unknown };
        Ok(())
    }
}

/// The Ed25519 keys of a JWK set, by id; keys of other kinds are passed over.
fn read_keys(text: &str) -> Result<HashMap<String, Arc<DecodingKey>>, String> {
    if text.len() > MAX_KEY_SET_BYTES {
        return Err("the key set is too long".to_owned());
    }
    let set: KeySet = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let ours = set.keys.into_iter().filter(|jwk| jwk.kty == "OKP" && jwk.crv == "Ed25519");
    let mut keys = HashMap::new();
    for jwk in ours.take(MAX_KEYS) {
        let key = DecodingKey::from_ed_components(&jwk.x).map_err(|error| error.to_string())?;
        keys.insert(jwk.kid, Arc::new(key));
    }
    Ok(keys)
}

/// The claims of a payload whose signature is right.
fn read(payload: &Payload, now: Timestamp) -> Result<Claims, Failure> {
    let unreadable = |_| refused("the token's claims can't be read");
    let expires_at = Timestamp::from_seconds(payload.exp);
    if expires_at <= now {
        return Err(expired());
    }
    if Timestamp::from_seconds(payload.iat) > now.plus(CLOCK_SKEW) {
        return Err(refused("the token comes from the future"));
    }
    Ok(Claims {
        account: payload.sub.parse().map_err(unreadable)?,
        session: payload.sid.parse().map_err(unreadable)?,
        role: payload.role.parse().map_err(|_| refused("the token's role is not known"))?,
        organization: payload.org.as_deref().map(str::parse).transpose().map_err(unreadable)?,
        expires_at,
    })
}

fn sha256(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

fn refused(detail: &str) -> Failure {
    Failure::new(Code::Unauthenticated, "UNAUTHENTICATED", detail)
}

fn expired() -> Failure {
    refused("the token has expired")
}

fn no_keys() -> Failure {
    Failure::unavailable("tokens can't be checked at the moment").retry_after(2_000)
}
