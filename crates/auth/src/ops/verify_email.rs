//! Proves an address with the PIN that was mailed to it.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use wire::Context;

use crate::{
    app::App,
    domain::normal,
    error::Error,
    events,
    store::{self, Account},
};

/// What a try came to. A wrong try must be committed, so it is no error inside the transaction.
enum Tried {
    Proved(Box<Account>),
    Wrong,
    Over,
}

pub(crate) async fn verify_email(
    app: &App,
    context: &Context,
    email: &str,
    pin: &str,
) -> Result<Account, Error> {
    let email = normal(email);
    let found = app
        .db
        .read(move |tx| {
            let email = email.clone();
            Box::pin(async move { Ok::<_, Error>(store::account_by_email(tx, &email).await?) })
        })
        .await?;
    // Nobody learns from this whether the address is known.
    let account = found.ok_or(Error::BadPin)?;
    if account.verified {
        return Err(Error::AlreadyVerified);
    }
    let now = app.now();
    let given = app.pin_hash(account.id, pin.trim());
    let limit = i64::from(app.config.pin_attempts);
    let told = events::verified(app, context, &account, now)?;
    let outbox = app.outbox.clone();
    let tried = app
        .db
        .write(move |tx| {
            let (account, given) = (account.clone(), given.clone());
            let (told, outbox) = (told.clone(), outbox.clone());
            Box::pin(async move {
                let Some(verification) = store::try_pin(tx, account.id).await? else {
                    return Ok::<_, Error>(Tried::Over);
                };
                if verification.attempts > limit || now >= verification.expires_at {
                    return Ok(Tried::Over);
                }
                if verify_slices_are_equal(&verification.pin_hash, &given).is_err() {
                    return Ok(Tried::Wrong);
                }
                store::set_verified(tx, account.id).await?;
                let actor = account.id.to_string();
                store::insert_history(tx, account.id, ("verified", &actor, ""), now).await?;
                outbox.append(tx, &[told]).await?;
                Ok(Tried::Proved(Box::new(Account { verified: true, ..account })))
            })
        })
        .await?;
    match tried {
        Tried::Proved(account) => {
            app.outbox.wake();
            Ok(*account)
        }
        Tried::Wrong => Err(Error::BadPin),
        Tried::Over => Err(Error::PinExpired),
    }
}
