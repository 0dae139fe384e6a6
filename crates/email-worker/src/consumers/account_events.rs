//! Accounts: whom to write to, and PINs.

use kernel::{AccountId, Timestamp};
use platform::bus::Delivery;
use wire::pb::auth::v1::{AccountRegistered, AccountVerificationRequested};

use crate::{
    app::App,
    error::Error,
    ops::{self, Letter, Values},
    store,
    templates::local_time,
};

pub(super) async fn registered(app: &App, delivery: &Delivery) -> Result<(), Error> {
    let event: AccountRegistered = delivery.read()?;
    let account: AccountId = wire::id("account_id", &event.account_id)?;
    app.db
        .write(move |tx| {
            let contact = (event.email.clone(), event.first_name.clone());
            Box::pin(
                async move { Ok(store::put_contact(tx, account, (&contact.0, &contact.1)).await?) },
            )
        })
        .await
}

pub(super) async fn verification_requested(app: &App, delivery: &Delivery) -> Result<(), Error> {
    let event: AccountVerificationRequested = delivery.read()?;
    let expires_at = local_time(Timestamp::from_micros(event.expires_at_us), "UTC");
    let letter = Letter {
        event: delivery.id,
        account: wire::id("account_id", &event.account_id)?,
        template: "verification",
        subject: "Verify your address".to_owned(),
        values: Values::from([("pin", event.pin.into()), ("expires_at", expires_at.into())]),
        is_urgent: true,
    };
    ops::write_mail(app, letter).await
}
