//! `/v1`: who calls, which operation, one transaction, and the answer an idempotency key stands
//! for.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::Response,
};
use base64::Engine as _;
use db::Tx;
use kernel::{Secret, Timestamp};
use serde_json::json;
use tracing::error;

use crate::{
    error::{ApiError, Refused},
    events, intents,
    objects::API_VERSION,
    params::Params,
    refunds,
    session::{CHARGE, EVENT, INTENT, PAYMENT_METHOD, REFUND, Session, new_id},
    store::{self, Answered, Slice},
    webhooks::{KEY_TTL, Shared},
};

/// The longest idempotency key.
const MAX_KEY: usize = 255;
const MAX_PAGE: i64 = 100;
const DEFAULT_PAGE: i64 = 10;

/// What the API's handler works with.
pub(crate) struct Api {
    pub(crate) shared: Arc<Shared>,
    pub(crate) secret_key: Secret<String>,
    pub(crate) publishable_key: String,
    /// Idempotency keys whose first request is still under way.
    pub(crate) in_flight: Mutex<HashSet<String>>,
}

/// One request, understood.
struct Call {
    method: Method,
    path: String,
    params: Params,
    key: Option<String>,
    /// Made with the publishable key: by a buyer's browser.
    public: bool,
    now: Timestamp,
    /// Where the buyer's browser finds our pages.
    public_url: String,
    shared: Arc<Shared>,
}

struct Answer {
    status: u16,
    body: String,
    replayed: bool,
}

impl Answer {
    fn refused(error: &ApiError) -> Self {
        Self { status: error.status, body: error.body().to_string(), replayed: false }
    }
}

/// Frees an idempotency key when its request ends, however it ends.
struct InFlight<'a>(&'a Api, String);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// Every path under `/v1`.
pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = match understand(&api, method, &uri, &headers, &body) {
        Ok(call) => answer(&api, call).await,
        Err(error) => Answer::refused(&error),
    };
    let mut response = Response::builder()
        .status(StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
        .header(header::CONTENT_TYPE, "application/json")
        .header("request-id", new_id(&*api.shared.ids, "req_", api.shared.clock.now()))
        .header("stripe-version", API_VERSION);
    if answer.replayed {
        response = response.header("idempotent-replayed", "true");
    }
    response.body(Body::from(answer.body)).unwrap_or_default()
}

fn understand(
    api: &Api,
    method: Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Call, ApiError> {
    let params = Params::parse(uri.query().unwrap_or_default(), body);
    let public = authenticate(api, headers, &params)?;
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    if key.is_some_and(|key| key.is_empty() || key.len() > MAX_KEY) {
        return Err(ApiError::idempotency(400, "Idempotency keys have 1 to 255 characters."));
    }
    // Reads have no effect, so a key means nothing there.
    let key = key.filter(|_| method == Method::POST).map(str::to_owned);
    let path = uri.path().trim_end_matches('/').to_owned();
    let now = api.shared.clock.now();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let public_url = match (api.shared.public_url.as_str(), host) {
        ("", Some(host)) => format!("http://{host}"),
        (configured, _) => configured.to_owned(),
    };
    let shared = api.shared.clone();
    Ok(Call { method, path, params, key, public, now, public_url, shared })
}

/// Whether the call is made with the publishable key.
fn authenticate(api: &Api, headers: &HeaderMap, params: &Params) -> Result<bool, ApiError> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let basic = |text: &str| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        Some(text.split(':').next().unwrap_or_default().to_owned())
    };
    let key = match header.and_then(|header| header.split_once(' ')) {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => Some(key.to_owned()),
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("basic") => basic(key),
        _ => params.get("key").map(str::to_owned),
    };
    let Some(key) = key else {
        return Err(ApiError::invalid(401, None, "You did not provide an API key.".to_owned()));
    };
    let secret = api.secret_key.expose().as_bytes();
    if aws_lc_rs::constant_time::verify_slices_are_equal(key.as_bytes(), secret).is_ok() {
        return Ok(false);
    }
    if key == api.publishable_key {
        return Ok(true);
    }
    Err(ApiError::invalid(401, None, "Invalid API Key provided.".to_owned()))
}

async fn answer(api: &Api, call: Call) -> Answer {
    let _guard = match &call.key {
        None => None,
        Some(key) => {
            let mut keys = api.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
            if !keys.insert(key.clone()) {
                let text = "There is another request in progress with this idempotency key.";
                return Answer::refused(&ApiError::idempotency(409, text));
            }
            drop(keys);
            Some(InFlight(api, key.clone()))
        }
    };
    let (before, after) = api.shared.controls(|controls| {
        let before = controls.fail_before > 0;
        let after = !before && controls.fail_after > 0;
        controls.fail_before -= u32::from(before);
        controls.fail_after -= u32::from(after);
        (before, after)
    });
    if before {
        return Answer::refused(&ApiError::api("The sandbox was told to fail."));
    }
    let write = call.method == Method::POST;
    let call = Arc::new(call);
    let db = &api.shared.db;
    let done: Result<Answer, db::Error> = if write {
        let run = db.write(move |tx| {
            let call = call.clone();
            Box::pin(async move { write_once(tx, &call).await })
        });
        run.await
    } else {
        let run = db.read(move |tx| {
            let call = call.clone();
            Box::pin(async move { read_once(tx, &call).await })
        });
        run.await
    };
    if write {
        api.shared.due.notify_one();
    }
    match done {
        Ok(answer) if !after => answer,
        Ok(_) => Answer::refused(&ApiError::api("The sandbox was told to fail afterwards.")),
        Err(error) => {
            error!(%error, "sandbox call failed");
            Answer::refused(&ApiError::api("The sandbox failed."))
        }
    }
}

async fn write_once(tx: &mut Tx, call: &Call) -> Result<Answer, db::Error> {
    let key = call.key.as_deref();
    let print = || call.params.fingerprint(call.method.as_str(), &call.path);
    if let Some(key) = key
        && let Some(known) = store::remembered(tx, key, call.now.minus(KEY_TTL)).await?
    {
        if known.fingerprint != print() {
            let text = "Keys for idempotent requests can only be used with the same parameters \
                        they were first used with.";
            return Ok(Answer::refused(&ApiError::idempotency(400, text)));
        }
        let status = u16::try_from(known.status).unwrap_or(500);
        return Ok(Answer { status, body: known.body, replayed: true });
    }
    let shared = &call.shared;
    let mut session = Session::new(tx, call.now, &*shared.ids, &call.public_url, key);
    let (answer, began) = match operate(&mut session, call).await {
        Ok(body) => (Answer { status: 200, body, replayed: false }, true),
        Err(Refused::Api(error)) => (Answer::refused(&error), error.began),
        Err(Refused::Db(error)) => return Err(error),
    };
    if !began {
        return Ok(answer);
    }
    let body = session.said(&answer.body);
    session.finish(shared.delivery(call.now)).await?;
    if let Some(key) = key {
        let said = Answered { fingerprint: print(), status: i64::from(answer.status), body };
        store::remember(tx, key, said, call.now).await?;
    }
    Ok(answer)
}

async fn operate(s: &mut Session<'_>, call: &Call) -> Result<String, Refused> {
    let path: Vec<&str> = call.path.split('/').skip(2).collect();
    let p = &call.params;
    if let ["payment_intents", id, "confirm"] = path.as_slice() {
        return intents::confirm(s, id, p, call.public).await;
    }
    if call.public {
        return Err(secret_key_required().into());
    }
    match path.as_slice() {
        ["payment_intents"] => intents::create(s, p).await,
        ["payment_intents", id, "capture"] => intents::capture(s, id, p).await,
        ["payment_intents", id, "cancel"] => intents::cancel(s, id, p).await,
        ["refunds"] => refunds::create(s, p).await,
        _ => Err(unrecognized(call).into()),
    }
}

async fn read_once(tx: &mut Tx, call: &Call) -> Result<Answer, db::Error> {
    let mut session = Session::new(tx, call.now, &*call.shared.ids, &call.public_url, None);
    match look(&mut session, call).await {
        Ok(body) => Ok(Answer { status: 200, body, replayed: false }),
        Err(Refused::Api(error)) => Ok(Answer::refused(&error)),
        Err(Refused::Db(error)) => Err(error),
    }
}

async fn look(s: &mut Session<'_>, call: &Call) -> Result<String, Refused> {
    let path: Vec<&str> = call.path.split('/').skip(2).collect();
    let p = &call.params;
    if call.method != Method::GET {
        return Err(unrecognized(call).into());
    }
    if let ["payment_intents", id] = path.as_slice() {
        return intents::retrieve(s, id, p, call.public).await;
    }
    if call.public {
        return Err(secret_key_required().into());
    }
    match path.as_slice() {
        ["payment_intents"] => list(s, call, INTENT, "").await,
        ["refunds"] => list(s, call, REFUND, p.get("payment_intent").unwrap_or_default()).await,
        ["events"] => list(s, call, EVENT, p.get("type").unwrap_or_default()).await,
        ["charges"] => list(s, call, CHARGE, p.get("payment_intent").unwrap_or_default()).await,
        ["refunds", id] => object(s, REFUND, id).await,
        ["events", id] => {
            let found = events::one(s.tx, id).await?;
            Ok(found.ok_or_else(|| ApiError::no_such(EVENT, "id", id))?)
        }
        ["charges", id] => object(s, CHARGE, id).await,
        ["payment_methods", id] => object(s, PAYMENT_METHOD, id).await,
        _ => Err(unrecognized(call).into()),
    }
}

async fn object(s: &mut Session<'_>, kind: &'static str, id: &str) -> Result<String, Refused> {
    let found = store::object(s.tx, kind, id).await?;
    Ok(found.ok_or_else(|| ApiError::no_such(kind, "id", id))?)
}

async fn list(
    s: &mut Session<'_>,
    call: &Call,
    kind: &'static str,
    lookup: &str,
) -> Result<String, Refused> {
    let p = &call.params;
    let limit = p.integer("limit")?.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        let text = format!("limit must be between 1 and {MAX_PAGE}");
        return Err(ApiError::parameter("parameter_invalid_integer", "limit", text).into());
    }
    let after = p.get("starting_after").unwrap_or_default();
    let slice = Slice { kind, lookup, after, limit: limit + 1 };
    let mut rows = match kind {
        EVENT => events::list(s.tx, &slice).await?,
        _ => store::list(s.tx, &slice).await?,
    };
    let wanted = usize::try_from(limit).unwrap_or(0);
    let has_more = rows.len() > wanted;
    rows.truncate(wanted);
    let (url, rows) = (json!(call.path), rows.join(","));
    Ok(format!(r#"{{"object":"list","url":{url},"has_more":{has_more},"data":[{rows}]}}"#))
}

fn unrecognized(call: &Call) -> ApiError {
    let text = format!("Unrecognized request URL ({}: {}).", call.method, call.path);
    ApiError::invalid(404, None, text)
}

fn secret_key_required() -> ApiError {
    let text = "This API call cannot be made with a publishable API key.".to_owned();
    ApiError::invalid(403, Some("secret_key_required"), text)
}
