//! `payment-events`: the buyer is told how the payment goes.

use kernel::Failure;
use platform::bus::Delivery;
use serde_json::json;
use wire::pb::payment::v1::{PaymentChanged, PaymentRefunded};

use super::{money, some, to_account};
use crate::relay::Post;

pub(super) fn post(delivery: &Delivery) -> Result<Option<Post>, Failure> {
    // A refund that failed is an operator's business; a declined card may be tried again.
    let (kind, may_retry) = match &*delivery.kind {
        "payment.authorized" => ("payment:processing", None),
        "payment.captured" => ("payment:success", None),
        "payment.declined" => ("payment:failed", Some(true)),
        "payment.failed" => ("payment:failed", Some(false)),
        "payment.cancelled" => ("payment:cancelled", None),
        "payment.refunded" => return refunded(delivery),
        _ => return Ok(None),
    };
    let payment: PaymentChanged = delivery.read()?;
    let payload = json!({
        "payment_id": payment.payment_id,
        "booking_id": payment.booking_id,
        "amount": money(payment.amount.as_ref()),
        "reason": some(&payment.decline_code),
        "may_retry": may_retry,
    });
    to_account(delivery, &payment.account_id, kind, payload)
}

fn refunded(delivery: &Delivery) -> Result<Option<Post>, Failure> {
    let refund: PaymentRefunded = delivery.read()?;
    let payload = json!({
        "payment_id": refund.payment_id,
        "booking_id": refund.booking_id,
        "refund_id": refund.refund_id,
        "amount": money(refund.amount.as_ref()),
        "fully": refund.fully,
    });
    to_account(delivery, &refund.account_id, "payment:refunded", payload)
}
