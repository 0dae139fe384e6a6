//! Makes the profile of a new account. Repeating it changes nothing.

use crate::{app::App, domain::Profile, error::Error, store};

pub(crate) async fn make_profile(app: &App, profile: Profile) -> Result<(), Error> {
    app.db
        .write(move |tx| {
            let profile = profile.clone();
            Box::pin(async move {
                store::insert_profile(tx, &profile).await?;
                Ok(())
            })
        })
        .await
}
