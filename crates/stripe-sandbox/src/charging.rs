//! One try to charge a card: which card it is, and what it leads to.

use serde_json::{Value, json};

use crate::{
    cards::{self, Decline, Outcome},
    error::{ApiError, Refused},
    objects::{CaptureMethod, CardDetails, Charge, Intent, PaymentMethod, Status},
    params::Params,
    session::{CHARGE, INTENT, PAYMENT_METHOD, Session, decode, encode},
    store,
};

/// The card that the parameters name, kept as a payment method.
pub(crate) async fn method(
    s: &mut Session<'_>,
    p: &Params,
) -> Result<Option<PaymentMethod>, Refused> {
    let (month, year) =
        ("payment_method_data[card][exp_month]", "payment_method_data[card][exp_year]");
    let (exp_month, exp_year) = (p.integer(month)?.unwrap_or(12), p.integer(year)?.unwrap_or(2034));
    let card = if let Some(number) = p.get("payment_method_data[card][number]") {
        cards::by_number(number)
            .map_err(|decline| ApiError::card(&payment_error(decline, None, None)))?
    } else if let Some(token) = p.get("payment_method") {
        match cards::by_token(token) {
            Some(card) => card,
            None => {
                let found = store::object(s.tx, PAYMENT_METHOD, token).await?;
                let doc = found
                    .ok_or_else(|| ApiError::no_such("PaymentMethod", "payment_method", token))?;
                return Ok(Some(decode(PAYMENT_METHOD, &doc)?));
            }
        }
    } else {
        return Ok(None);
    };
    let method = PaymentMethod {
        id: s.id("pm_"),
        object: PAYMENT_METHOD.into(),
        card: CardDetails {
            brand: card.brand.into(),
            last4: card.last4().into(),
            exp_month,
            exp_year,
        },
        created: s.now.seconds(),
        livemode: false,
        sandbox_card: card.token.into(),
        kind: "card".into(),
    };
    s.insert(PAYMENT_METHOD, &method.id, "", &method)?;
    Ok(Some(method))
}

/// Tries the card.
pub(crate) async fn charge_card(
    s: &mut Session<'_>,
    mut intent: Intent,
    method: &PaymentMethod,
    return_url: Option<&str>,
) -> Result<String, Refused> {
    let outcome = cards::by_token(&method.sandbox_card).map(|card| card.outcome);
    match outcome.unwrap_or(Outcome::Approve) {
        Outcome::Approve => approve_card(s, intent, method).await,
        Outcome::Decline(decline) => decline_card(s, intent, method, decline).await,
        Outcome::Challenge(_) => {
            let page = format!("{}/sandbox/3ds/{}", s.public_url, intent.id);
            intent.status = Status::RequiresAction;
            intent.next_action = Some(json!({
                "type": "redirect_to_url",
                "redirect_to_url": { "url": page, "return_url": return_url },
            }));
            s.save(INTENT, &intent.id, &intent)?;
            s.emit("payment_intent.requires_action", &intent.id)?;
            Ok(encode(INTENT, &intent)?)
        }
        Outcome::Pending => {
            intent.status = Status::Processing;
            s.save(INTENT, &intent.id, &intent)?;
            s.emit("payment_intent.processing", &intent.id)?;
            Ok(encode(INTENT, &intent)?)
        }
    }
}

/// The card paid.
pub(crate) async fn approve_card(
    s: &mut Session<'_>,
    mut intent: Intent,
    method: &PaymentMethod,
) -> Result<String, Refused> {
    let captured = intent.capture_method == CaptureMethod::Automatic;
    let mut charge = new_charge(s, &intent, method);
    charge.captured = captured;
    charge.amount_captured = if captured { intent.amount } else { 0 };
    intent.latest_charge = Some(charge.id.clone());
    intent.last_payment_error = None;
    let event = if captured {
        intent.status = Status::Succeeded;
        intent.amount_received = intent.amount;
        "payment_intent.succeeded"
    } else {
        intent.status = Status::RequiresCapture;
        intent.amount_capturable = intent.amount;
        "payment_intent.amount_capturable_updated"
    };
    s.insert(CHARGE, &charge.id, &intent.id, &charge)?;
    s.save(INTENT, &intent.id, &intent)?;
    s.emit("charge.succeeded", &charge.id)?;
    s.emit(event, &intent.id)?;
    Ok(encode(INTENT, &intent)?)
}

/// The card refused: the intent waits for another.
pub(crate) async fn decline_card(
    s: &mut Session<'_>,
    mut intent: Intent,
    method: &PaymentMethod,
    decline: Decline,
) -> Result<String, Refused> {
    let mut charge = new_charge(s, &intent, method);
    charge.status = "failed".into();
    charge.paid = false;
    charge.failure_code = Some(decline.code.into());
    charge.failure_message = Some(decline.message.into());
    let error = payment_error(decline, Some(&charge.id), Some(method));
    intent.status = Status::RequiresPaymentMethod;
    intent.payment_method = None;
    intent.latest_charge = Some(charge.id.clone());
    intent.last_payment_error = Some(error.clone());
    s.insert(CHARGE, &charge.id, &intent.id, &charge)?;
    s.save(INTENT, &intent.id, &intent)?;
    s.emit("charge.failed", &charge.id)?;
    s.emit("payment_intent.payment_failed", &intent.id)?;
    Err(ApiError::card(&error).with("payment_intent", json!(intent)).into())
}

fn new_charge(s: &Session<'_>, intent: &Intent, method: &PaymentMethod) -> Charge {
    Charge {
        id: s.id("ch_"),
        object: CHARGE.into(),
        amount: intent.amount,
        amount_captured: 0,
        amount_refunded: 0,
        captured: false,
        created: s.now.seconds(),
        currency: intent.currency.clone(),
        failure_code: None,
        failure_message: None,
        livemode: false,
        metadata: intent.metadata.clone(),
        paid: true,
        payment_intent: intent.id.clone(),
        payment_method: method.id.clone(),
        payment_method_details: json!({ "type": "card", "card": method.card }),
        refunded: false,
        status: "succeeded".into(),
    }
}

fn payment_error(decline: Decline, charge: Option<&str>, method: Option<&PaymentMethod>) -> Value {
    let mut error = json!({
        "type": "card_error",
        "code": decline.code,
        "message": decline.message,
        "doc_url": format!(
            "https://stripe.com/docs/error-codes/{}",
            decline.code.replace('_', "-")
        ),
    });
    let optional = [
        ("decline_code", Some(json!(decline.decline_code)).filter(|code| code != "")),
        ("charge", charge.map(|charge| json!(charge))),
        ("payment_method", method.map(|method| json!(method))),
    ];
    if let Some(fields) = error.as_object_mut() {
        let present = optional.into_iter().filter_map(|(name, value)| Some((name, value?)));
        fields.extend(present.map(|(name, value)| (name.to_owned(), value)));
    }
    error
}
