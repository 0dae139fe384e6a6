//! Has a mail that was given up tried again.

use kernel::MailId;
use wire::Context;

use crate::{app::App, domain::Mail, error::Error, store};

pub(crate) async fn retry_mail(app: &App, context: &Context, id: MailId) -> Result<Mail, Error> {
    let mail = super::get_mail(app, context, id).await?;
    let now = app.clock.now();
    let revived = app
        .db
        .write(move |tx| Box::pin(async move { Ok::<_, Error>(store::revive(tx, id, now).await?) }))
        .await?;
    if !revived {
        return Err(Error::NotFailed(mail.status.as_str()));
    }
    app.due.notify_one();
    super::get_mail(app, context, id).await
}
