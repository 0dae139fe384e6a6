//! Writes the mail that an event asks for, once.

use kernel::{AccountId, MailId, MessageId};
use minijinja::Value;
use platform::inbox;

use crate::{
    NAME,
    app::App,
    domain::{Mail, Status},
    error::Error,
    store,
};

/// What to write.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    /// The event that asks for it.
    pub event: MessageId,
    pub template: &'static str,
    pub subject: String,
    /// The template's values, but for `first_name`.
    pub values: Value,
}

/// Renders the mail to `account` and stores it, unless the event's mail is there.
pub(crate) async fn write_mail(app: &App, account: AccountId, letter: Letter) -> Result<(), Error> {
    let contact = app
        .db
        .read(move |tx| Box::pin(async move { Ok::<_, Error>(store::contact(tx, account).await?) }))
        .await?;
    let (to, first_name) = contact.ok_or(Error::NoContact(account))?;
    let Letter { event, template, subject, values } = letter;
    let values = minijinja::context!(first_name => first_name, ..values);
    let rendered = app.templates.render(template, subject, &values)?;
    let now = app.clock.now();
    let mail = Mail {
        id: MailId::new(&*app.ids, now),
        to,
        subject: rendered.subject,
        template: rendered.template.to_owned(),
        html: rendered.html,
        text: rendered.text,
        status: Status::Pending,
        attempts: 0,
        last_error: String::new(),
        created_at: now,
        sent_at: None,
    };
    app.db
        .write(move |tx| {
            let mail = mail.clone();
            Box::pin(async move {
                if inbox::first_time(tx, NAME, event).await? {
                    store::insert_mail(tx, &mail).await?;
                }
                Ok::<_, Error>(())
            })
        })
        .await?;
    app.due.notify_one();
    Ok(())
}
