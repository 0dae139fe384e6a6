//! `/api/payments`: JSON in, verb, JSON out. Who asks is read from the access token before anything
//! else is looked at.

use std::sync::Arc;

use axum::{
    Router,
    extract::{FromRequestParts, State},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::IntoResponse,
    routing::{get, post},
};
use kernel::{AccountId, Caller, Failure, Money, Page, PaymentId};
use platform::http::{Json, Path, Problem, Query, context};
use serde::{Deserialize, Serialize};
use wire::Context;

use crate::{
    app::{App, payable_with},
    domain::{Payment, Refund},
    ops::{self, RefundPayment},
    stripe,
};

/// The longest idempotency key, in bytes: with the account in front it fits a record's.
const MAX_KEY_BYTES: usize = 200;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/payments", get(list_payments))
        .route("/api/payments/{payment_id}", get(get_payment))
        .route("/api/payments/{payment_id}/refunds", post(refund_payment))
}

/// The signed-in account that asks.
struct SignedIn {
    account: AccountId,
    context: Context,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct PageQuery {
    limit: u32,
    cursor: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefundBody {
    amount_minor: i64,
    reason: String,
}

#[derive(Serialize)]
struct List {
    items: Vec<PaymentAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct PaymentAnswer {
    payment_id: String,
    booking_id: String,
    amount: Amount,
    captured_minor: i64,
    refunded_minor: i64,
    state: &'static str,
    provider: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    decline_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    created_at: String,
    updated_at: String,
}

#[derive(Serialize)]
struct RefundAnswer {
    refund_id: String,
    payment_id: String,
    amount: Amount,
    state: &'static str,
    reason: String,
    created_at: String,
}

#[derive(Serialize)]
struct Amount {
    minor: i64,
    currency: String,
}

async fn list_payments(
    State(app): State<Arc<App>>,
    SignedIn { context, .. }: SignedIn,
    Query(query): Query<PageQuery>,
) -> Result<impl IntoResponse, Problem> {
    let page = Page::new(query.limit, &query.cursor)?;
    let (payments, cursor) = ops::list_payments(&app, &context, &page).await?;
    let next_cursor = (!cursor.is_empty()).then_some(cursor);
    let mut headers = HeaderMap::new();
    if let Some(cursor) = &next_cursor {
        let limit = page.limit;
        let link = format!("</api/payments?limit={limit}&cursor={cursor}>; rel=\"next\"");
        headers.insert(header::LINK, HeaderValue::try_from(link).map_err(Failure::internal)?);
    }
    let items = payments.iter().map(|payment| shown(payment, &context.caller)).collect();
    Ok((headers, Json(List { items, next_cursor })))
}

async fn get_payment(
    State(app): State<Arc<App>>,
    SignedIn { context, .. }: SignedIn,
    Path(payment_id): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let id: PaymentId = wire::id("payment_id", &payment_id)?;
    let payment = ops::get_payment(&app, &context, id).await?;
    Ok(Json(shown(&payment, &context.caller)))
}

async fn refund_payment(
    State(app): State<Arc<App>>,
    SignedIn { account, context }: SignedIn,
    Path(payment_id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<RefundBody>,
) -> Result<impl IntoResponse, Problem> {
    let command = RefundPayment {
        payment: wire::id("payment_id", &payment_id)?,
        amount_minor: body.amount_minor,
        reason: body.reason,
        idempotency_key: idempotency_key(&headers, account)?,
    };
    let tasks = app.tasks.clone();
    let work = async move { ops::refund_payment(&app, &context, command).await };
    let (refund, currency) = tasks.finish(work).await?;
    let amount = Money::new(refund.amount_minor, currency);
    Ok((StatusCode::CREATED, Json(given_back(refund, amount))))
}

impl FromRequestParts<Arc<App>> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let value = parts.headers.get(header::AUTHORIZATION);
        let value = value.map(|value| value.to_str().unwrap_or_default());
        let caller = app.access.caller(value).await?;
        let account = caller.account()?;
        Ok(Self { account, context: context(parts, caller) })
    }
}

/// An account's keys are its own: never those of a booking or of somebody else.
fn idempotency_key(headers: &HeaderMap, account: AccountId) -> Result<String, Failure> {
    const NAME: &str = "Idempotency-Key";
    let key = headers.get(NAME).map(|key| key.to_str().unwrap_or_default());
    let key = key.ok_or_else(|| Failure::invalid(NAME, "the header is required"))?;
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        let detail = format!("must be 1 to {MAX_KEY_BYTES} bytes of printable ASCII");
        return Err(Failure::invalid(NAME, detail));
    }
    Ok(format!("{account} {key}"))
}

fn shown(payment: &Payment, caller: &Caller) -> PaymentAnswer {
    PaymentAnswer {
        payment_id: payment.id.to_string(),
        booking_id: payment.booking.to_string(),
        amount: payment.amount.into(),
        captured_minor: payment.captured_minor,
        refunded_minor: payment.refunded_minor,
        state: payment.state.as_str(),
        provider: stripe::PROVIDER,
        decline_code: payment.decline.as_ref().map(|decline| decline.code.clone()),
        client_secret: payable_with(payment, caller).cloned(),
        created_at: payment.created_at.to_string(),
        updated_at: payment.updated_at.to_string(),
    }
}

fn given_back(refund: Refund, amount: Money) -> RefundAnswer {
    RefundAnswer {
        refund_id: refund.id.to_string(),
        payment_id: refund.payment.to_string(),
        amount: amount.into(),
        state: refund.state.as_str(),
        reason: refund.reason,
        created_at: refund.created_at.to_string(),
    }
}

impl From<Money> for Amount {
    fn from(money: Money) -> Self {
        Self { minor: money.minor, currency: money.currency.to_string() }
    }
}
