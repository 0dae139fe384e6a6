//! Gives a new pair for a refresh token, which is used up. One used twice is in two hands: its
//! session ends.

use kernel::Secret;

use crate::{
    app::App,
    error::Error,
    ops::login::{Tokens, new_refresh_token, refresh_expiry, token_hash, tokens},
    store,
};

/// What a try came to. Ending the session must be committed, so it is no error inside the
/// transaction.
enum Tried {
    Refreshed(Box<(store::Account, kernel::SessionId)>),
    Over,
}

pub(crate) async fn refresh(app: &App, token: &Secret<String>) -> Result<Tokens, Error> {
    let now = app.now();
    let fresh = new_refresh_token(app);
    let (old_hash, new_hash) = (token_hash(token), token_hash(&fresh));
    let expires_at = refresh_expiry(app);
    let tried = app
        .db
        .write(move |tx| {
            let (old_hash, new_hash) = (old_hash.clone(), new_hash.clone());
            Box::pin(async move {
                // Takes the token's row first, so that of two at once the second sees what the
                // first did.
                let unused = store::use_refresh_token(tx, &old_hash, now).await?;
                let found = store::session_by_token(tx, &old_hash, now).await?;
                let Some((session, account, true)) = found else {
                    return Ok::<_, Error>(Tried::Over);
                };
                if !unused {
                    store::end_session(tx, session, "refresh token used twice", now).await?;
                    let entry = ("session_ended", "auth", "refresh token used twice");
                    store::insert_history(tx, account, entry, now).await?;
                    return Ok(Tried::Over);
                }
                store::insert_refresh_token(tx, session, &new_hash).await?;
                store::extend_session(tx, session, expires_at).await?;
                let account = store::account_by_id(tx, account).await?;
                let account = account.ok_or(Error::SessionOver)?;
                Ok(Tried::Refreshed(Box::new((account, session))))
            })
        })
        .await?;
    match tried {
        Tried::Refreshed(pair) => tokens(app, pair.0, pair.1, fresh).await,
        Tried::Over => Err(Error::SessionOver),
    }
}
