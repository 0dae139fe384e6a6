//! Mails a new PIN, if there is anybody to mail it to; whoever asks can't tell.

use wire::Context;

use crate::{app::App, domain::normal, error::Error, events, ops::register::new_pin, store};

pub(crate) async fn resend_verification(
    app: &App,
    context: &Context,
    email: &str,
) -> Result<(), Error> {
    let email = normal(email);
    let found = app
        .db
        .read(move |tx| {
            let email = email.clone();
            Box::pin(async move { Ok::<_, Error>(store::account_by_email(tx, &email).await?) })
        })
        .await?;
    let Some(account) = found.filter(|account| !account.verified) else {
        return Ok(());
    };
    let (pin, verification) = new_pin(app, account.id);
    let expires_at = verification.expires_at;
    let told = events::verification_requested(app, context, &account, (&pin, expires_at))?;
    let outbox = app.outbox.clone();
    app.db
        .write(move |tx| {
            let (verification, told) = (verification.clone(), told.clone());
            let outbox = outbox.clone();
            Box::pin(async move {
                store::put_verification(tx, account.id, &verification).await?;
                Ok::<_, Error>(outbox.append(tx, &[told]).await?)
            })
        })
        .await?;
    app.outbox.wake();
    Ok(())
}
