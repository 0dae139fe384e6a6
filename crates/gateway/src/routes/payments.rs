//! Payments, and the provider's webhooks.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap};
use bytes::Bytes;
use kernel::Failure;
use platform::http::{Json, Path, Problem, Query};
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::pb::payment::v1::{self as pb, client::PaymentServiceClient};

use super::refused;
use crate::{
    app::App,
    caller::{Anybody, SignedIn},
    page::{List, PageQuery},
    shapes::payment::{Payment, Processed},
};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list_payments)).routes(routes!(get_payment))
}

/// Where providers tell what happened; the body stays as it came, for its signature.
pub(super) fn webhooks() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(webhook))
}

/// One's own payments, newest first.
#[utoipa::path(
    get, path = "/api/v1/payments", tag = "payments", security(("bearer" = [])),
    params(PageQuery), responses((status = 200, body = List<Payment>), (status = 401))
)]
async fn list_payments(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Query(page): Query<PageQuery>,
) -> Result<List<Payment>, Problem> {
    let request = pb::ListPaymentsRequest { page: Some(page.to_wire()) };
    let mut client = PaymentServiceClient::new(app.payment.with(&context));
    let payments = client.list_payments(request).await.map_err(refused)?.into_inner();
    let items = payments.payments.into_iter().map(Into::into).collect();
    let limit = page.limit.to_string();
    Ok(List::new(items, payments.next_cursor, "/api/v1/payments", &[("limit", &limit)]))
}

/// A payment.
#[utoipa::path(
    get, path = "/api/v1/payments/{payment_id}", tag = "payments", security(("bearer" = [])),
    params(("payment_id" = String, Path)),
    responses((status = 200, body = Payment), (status = 401), (status = 404))
)]
async fn get_payment(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Path(payment_id): Path<String>,
) -> Result<Json<Payment>, Problem> {
    let mut client = PaymentServiceClient::new(app.payment.with(&context));
    let payment = client.get_payment(pb::GetPaymentRequest { payment_id }).await;
    Ok(Json(payment.map_err(refused)?.into_inner().into()))
}

/// Takes what a provider tells, by its own signature.
#[utoipa::path(
    post, path = "/webhooks/payment/{provider}", tag = "payments",
    params(
        ("provider" = String, Path, example = "stripe"),
        ("Stripe-Signature" = String, Header, description = "the provider's, of the raw body")
    ),
    request_body = Object,
    responses((status = 200, body = Processed), (status = 400), (status = 404))
)]
async fn webhook(
    State(app): State<Arc<App>>,
    Anybody(context): Anybody,
    Path(provider): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Processed>, Problem> {
    if provider != "stripe" {
        return Err(Failure::not_found("payment provider").into());
    }
    let signature = headers.get("stripe-signature").and_then(|value| value.to_str().ok());
    let request = pb::ProcessWebhookRequest {
        provider,
        body: body.to_vec(),
        signature: signature.unwrap_or_default().to_owned(),
    };
    let mut client = PaymentServiceClient::new(app.payment.with(&context));
    let processed = client.process_webhook(request).await.map_err(refused)?.into_inner();
    Ok(Json(Processed { processed: processed.processed }))
}
