//! Payment intents: created, confirmed, authenticated, captured, cancelled; exactly as Stripe goes.

use std::str::FromStr;

use kernel::Currency;
use serde_json::{Value, json};

use crate::{
    cards::{self, Outcome},
    charging::{approve_card, charge_card, decline_card, method},
    error::{ApiError, Refused},
    objects::{CaptureMethod, Charge, Intent, PaymentMethod, Status},
    params::Params,
    session::{CHARGE, INTENT, PAYMENT_METHOD, Session, decode, encode, new_secret},
    store,
};

/// The most that can be charged at once, in minor units.
const MAX_AMOUNT: i64 = 99_999_999;

/// The least that can be charged, where it is not 50 minor units.
const MIN_AMOUNTS: [(&str, i64); 16] = [
    ("AED", 200),
    ("BGN", 100),
    ("CZK", 1_500),
    ("DKK", 250),
    ("GBP", 30),
    ("HKD", 400),
    ("HUF", 17_500),
    ("ISK", 7_000),
    ("KRW", 700),
    ("MXN", 1_000),
    ("NOK", 300),
    ("PLN", 200),
    ("RON", 200),
    ("SEK", 300),
    ("THB", 1_000),
    ("VND", 13_000),
];

const CONFIRM_PARAMS: [&str; 9] = [
    "payment_method",
    "payment_method_data",
    "payment_method_types",
    "return_url",
    "receipt_email",
    "capture_method",
    "off_session",
    "use_stripe_sdk",
    "mandate_data",
];

/// `POST /v1/payment_intents`
pub(crate) async fn create(s: &mut Session<'_>, p: &Params) -> Result<String, Refused> {
    let mut known = vec![
        "amount",
        "currency",
        "automatic_payment_methods",
        "confirm",
        "confirmation_method",
        "customer",
        "description",
        "metadata",
        "statement_descriptor",
        "statement_descriptor_suffix",
        "setup_future_usage",
    ];
    known.extend(CONFIRM_PARAMS);
    p.allow(&known)?;
    let (amount, currency) = money(p)?;
    let capture_method = match p.one_of("capture_method", &["automatic", "manual"])? {
        Some("manual") => CaptureMethod::Manual,
        _ => CaptureMethod::Automatic,
    };
    let confirm = p.one_of("confirm", &["true", "false"])? == Some("true");
    let method = method(s, p).await?;
    let id = s.id("pi_");
    let mut intent = Intent {
        client_secret: new_secret(s.ids, &format!("{id}_secret_")),
        object: INTENT.into(),
        amount,
        amount_capturable: 0,
        amount_received: 0,
        canceled_at: None,
        cancellation_reason: None,
        capture_method,
        confirmation_method: "automatic".into(),
        created: s.now.seconds(),
        currency,
        description: p.get("description").map(str::to_owned),
        last_payment_error: None,
        latest_charge: None,
        livemode: false,
        metadata: p.map("metadata"),
        next_action: None,
        payment_method: None,
        payment_method_types: vec!["card".into()],
        receipt_email: p.get("receipt_email").map(str::to_owned),
        status: Status::RequiresPaymentMethod,
        id,
    };
    s.insert(INTENT, &intent.id, "", &intent)?;
    s.emit("payment_intent.created", &intent.id)?;
    if let Some(method) = &method {
        intent.payment_method = Some(method.id.clone());
        intent.status = Status::RequiresConfirmation;
    }
    if !confirm {
        if method.is_some() {
            s.save(INTENT, &intent.id, &intent)?;
        }
        return Ok(encode(INTENT, &intent)?);
    }
    let Some(method) = method else { return Err(needs_method(&intent).into()) };
    charge_card(s, intent, &method, p.get("return_url")).await
}

/// `POST /v1/payment_intents/{id}/confirm`
pub(crate) async fn confirm(
    s: &mut Session<'_>,
    id: &str,
    p: &Params,
    public: bool,
) -> Result<String, Refused> {
    p.allow(&CONFIRM_PARAMS)?;
    let mut intent: Intent = s.load(INTENT, id).await?;
    if public {
        check_secret(&intent, p)?;
    }
    let open =
        [Status::RequiresPaymentMethod, Status::RequiresConfirmation, Status::RequiresAction];
    if !open.contains(&intent.status) {
        return Err(unexpected(&intent, "confirm").into());
    }
    let method = match method(s, p).await? {
        Some(method) => method,
        None => {
            let Some(id) = intent.payment_method.clone() else {
                return Err(needs_method(&intent).into());
            };
            s.load(PAYMENT_METHOD, &id).await?
        }
    };
    intent.payment_method = Some(method.id.clone());
    intent.next_action = None;
    charge_card(s, intent, &method, p.get("return_url")).await
}

/// `POST /v1/payment_intents/{id}/capture`
pub(crate) async fn capture(s: &mut Session<'_>, id: &str, p: &Params) -> Result<String, Refused> {
    p.allow(&["amount_to_capture", "metadata", "statement_descriptor", "final_capture"])?;
    let wanted = p.integer("amount_to_capture")?;
    let mut intent: Intent = s.load(INTENT, id).await?;
    if intent.status != Status::RequiresCapture {
        return Err(unexpected(&intent, "capture").into());
    }
    let amount = wanted.unwrap_or(intent.amount_capturable);
    if amount < 1 {
        let text = "This value must be greater than or equal to 1.".to_owned();
        return Err(
            ApiError::parameter("parameter_invalid_integer", "amount_to_capture", text).into()
        );
    }
    if amount > intent.amount_capturable {
        let text = "The amount to capture is greater than the amount you can capture.".to_owned();
        let error = ApiError::refused("amount_too_large", text).with("param", "amount_to_capture");
        return Err(error.into());
    }
    let charge_id = intent.latest_charge.clone().unwrap_or_default();
    let mut charge: Charge = s.load(CHARGE, &charge_id).await?;
    charge.captured = true;
    charge.amount_captured = amount;
    s.save(CHARGE, &charge_id, &charge)?;
    intent.status = Status::Succeeded;
    intent.amount_capturable = 0;
    intent.amount_received = amount;
    s.save(INTENT, id, &intent)?;
    s.emit("charge.captured", &charge.id)?;
    s.emit("payment_intent.succeeded", &intent.id)?;
    Ok(encode(INTENT, &intent)?)
}

/// `POST /v1/payment_intents/{id}/cancel`
pub(crate) async fn cancel(s: &mut Session<'_>, id: &str, p: &Params) -> Result<String, Refused> {
    p.allow(&["cancellation_reason"])?;
    let reasons = ["duplicate", "fraudulent", "requested_by_customer", "abandoned"];
    let reason = p.one_of("cancellation_reason", &reasons)?;
    let mut intent: Intent = s.load(INTENT, id).await?;
    if matches!(intent.status, Status::Processing | Status::Succeeded | Status::Canceled) {
        return Err(unexpected(&intent, "cancel").into());
    }
    if intent.status == Status::RequiresCapture {
        let charge_id = intent.latest_charge.clone().unwrap_or_default();
        let mut charge: Charge = s.load(CHARGE, &charge_id).await?;
        charge.amount_refunded = charge.amount;
        charge.refunded = true;
        s.save(CHARGE, &charge_id, &charge)?;
        s.emit("charge.refunded", &charge.id)?;
    }
    intent.status = Status::Canceled;
    intent.amount_capturable = 0;
    intent.canceled_at = Some(s.now.seconds());
    intent.cancellation_reason = reason.map(str::to_owned);
    intent.next_action = None;
    s.save(INTENT, id, &intent)?;
    s.emit("payment_intent.canceled", &intent.id)?;
    Ok(encode(INTENT, &intent)?)
}

/// `GET /v1/payment_intents/{id}`
pub(crate) async fn retrieve(
    s: &mut Session<'_>,
    id: &str,
    p: &Params,
    public: bool,
) -> Result<String, Refused> {
    p.allow(&[])?;
    let found = store::object(s.tx, INTENT, id).await?;
    let doc = found.ok_or_else(|| ApiError::no_such(INTENT, "intent", id))?;
    if public {
        check_secret(&decode(INTENT, &doc)?, p)?;
    }
    if !p.lists("expand", "latest_charge") {
        return Ok(doc);
    }
    let mut doc: Value = decode(INTENT, &doc)?;
    if let Some(charge) = doc.get("latest_charge").and_then(Value::as_str)
        && let Some(charge) = store::object(s.tx, CHARGE, charge).await?
        && let Some(fields) = doc.as_object_mut()
    {
        fields.insert("latest_charge".into(), decode(CHARGE, &charge)?);
    }
    Ok(doc.to_string())
}

/// The buyer came back from the authentication page.
pub(crate) async fn authenticate(
    s: &mut Session<'_>,
    id: &str,
    approved: bool,
) -> Result<String, Refused> {
    let mut intent: Intent = s.load(INTENT, id).await?;
    if intent.status != Status::RequiresAction {
        return Err(unexpected(&intent, "authenticate").into());
    }
    let method: PaymentMethod =
        s.load(PAYMENT_METHOD, intent.payment_method.as_deref().unwrap_or_default()).await?;
    intent.next_action = None;
    let decline = match cards::by_token(&method.sandbox_card).map(|card| card.outcome) {
        _ if !approved => Some(cards::NOT_AUTHENTICATED),
        Some(Outcome::Challenge(then)) => then,
        _ => None,
    };
    match decline {
        Some(decline) => decline_card(s, intent, &method, decline).await,
        None => approve_card(s, intent, &method).await,
    }
}

fn money(p: &Params) -> Result<(i64, String), ApiError> {
    let text = p.required("amount")?;
    let amount = p.integer("amount")?.unwrap_or(0);
    let code = p.required("currency")?;
    let currency = Currency::from_str(code).map_err(|_| {
        ApiError::parameter("parameter_invalid", "currency", format!("Invalid currency: {code}"))
    })?;
    if amount < 1 {
        let text = format!("Invalid positive integer: {text}");
        return Err(ApiError::parameter("parameter_invalid_integer", "amount", text));
    }
    let known = MIN_AMOUNTS.iter().find(|(known, _)| *known == currency.as_str());
    let least = known.map_or(50, |(_, least)| *least);
    if amount < least {
        let text = format!("Amount must be at least {least} {code}");
        return Err(ApiError::parameter("amount_too_small", "amount", text));
    }
    if amount > MAX_AMOUNT {
        let text = format!("Amount must be no more than {MAX_AMOUNT} {code}");
        return Err(ApiError::parameter("amount_too_large", "amount", text));
    }
    Ok((amount, currency.as_str().to_ascii_lowercase()))
}

fn check_secret(intent: &Intent, p: &Params) -> Result<(), ApiError> {
    if p.required("client_secret")? == intent.client_secret {
        return Ok(());
    }
    let text = "The client_secret provided does not match this PaymentIntent.".to_owned();
    Err(ApiError::parameter("payment_intent_invalid_parameter", "client_secret", text))
}

fn needs_method(intent: &Intent) -> ApiError {
    ApiError::unexpected_state(
        "You cannot confirm this PaymentIntent because it's missing a payment method.".to_owned(),
    )
    .with("payment_intent", json!(intent))
}

fn unexpected(intent: &Intent, verb: &str) -> ApiError {
    let status = intent.status.as_str();
    ApiError::unexpected_state(format!(
        "You cannot {verb} this PaymentIntent because it has a status of {status}."
    ))
    .with("payment_intent", json!(intent))
}
