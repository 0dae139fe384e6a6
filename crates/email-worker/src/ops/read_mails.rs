//! Reads mails; for operators.

use kernel::{Failure, MailId, Page};
use wire::Context;

use crate::{app::App, domain::Mail, error::Error, store};

pub(crate) async fn get_mail(app: &App, context: &Context, id: MailId) -> Result<Mail, Error> {
    operators_only(context)?;
    let found = app
        .db
        .read(move |tx| Box::pin(async move { Ok::<_, Error>(store::mail_by_id(tx, id).await?) }))
        .await?;
    let mail = found.ok_or_else(|| Failure::not_found("mail"))?;
    // One that can't be rendered is shown as it is, with the error of its last try.
    Ok(super::rendered(app, mail.clone()).unwrap_or(mail))
}

/// A page of mails, newest first, and the cursor of the next.
pub(crate) async fn list_mails(
    app: &App,
    context: &Context,
    to: Option<String>,
    page: Page,
) -> Result<(Vec<Mail>, String), Error> {
    operators_only(context)?;
    let before = match page.cursor.as_str() {
        "" => None,
        cursor => Some(wire::id::<MailId>("cursor", cursor)?),
    };
    let limit = page.limit as usize;
    let mut mails = app
        .db
        .view(move |tx| {
            let (to, page) = (to.clone(), page.clone());
            Box::pin(async move {
                Ok::<_, Error>(store::mails(tx, to.as_deref(), before, &page).await?)
            })
        })
        .await?;
    let more = mails.len() > limit;
    mails.truncate(limit);
    let next = mails.last().filter(|_| more).map(|mail| mail.id.to_string());
    Ok((mails, next.unwrap_or_default()))
}

pub(super) fn operators_only(context: &Context) -> Result<(), Failure> {
    if context.caller.is_operator() {
        return Ok(());
    }
    context.caller.account()?;
    Err(Failure::forbidden("mails are for operators"))
}
