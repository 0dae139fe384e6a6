//! The mailbox of the one-process demo: the mails that go nowhere else, for everybody to read.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{HeaderName, header},
    response::{Html, IntoResponse, Response},
};
use kernel::{Failure, MailId, Timestamp};
use minijinja::{Value, context};
use platform::http::{Problem, Query};
use serde::Deserialize;
use wire::pb::{
    email_worker::v1::{GetMailRequest, ListMailsRequest, Mail, MailStatus},
    kernel::v1 as pb,
};

use crate::{
    app::{App, Page, Visitor},
    words,
};

const MAILS_A_PAGE: u32 = 25;

/// What a mail's HTML may do: show itself, with the styles and pictures that it brings along. It
/// has an origin of its own, without scripts, forms or network, also when opened by itself.
const BODY_POLICY: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; \
    img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'";
const BODY_HEADERS: [(HeaderName, &str); 2] =
    [(header::CONTENT_SECURITY_POLICY, BODY_POLICY), (header::CACHE_CONTROL, "no-store")];

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    to: String,
    #[serde(default)]
    cursor: String,
}

/// `GET /mailbox?to=&cursor=`
pub(crate) async fn mails(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    asked: Result<Query<Asked>, Problem>,
) -> Response {
    let page = list(&app, &visitor, asked).await;
    app.answer(&visitor, page)
}

/// `GET /mailbox/{mail_id}`
pub(crate) async fn mail(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Response {
    let page = find(&app, &visitor, &id).await.map(|mail| {
        let values = context!(
            text => &mail.text,
            has_html => !mail.html.is_empty(),
            template => &mail.template,
            attempts => mail.attempts,
            last_error => &mail.last_error,
            sent => moment(mail.sent_at_us),
            ..line(&mail, app.clock.now())
        );
        ("mail.html", values)
    });
    app.answer(&visitor, page)
}

/// `GET /mailbox/{mail_id}/body`: nothing but the mail's HTML, under a policy of its own.
pub(crate) async fn body(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Response {
    match find(&app, &visitor, &id).await {
        Ok(mail) => (BODY_HEADERS, Html(mail.html)).into_response(),
        Err(failure) => app.answer(&visitor, Err(failure)),
    }
}

async fn list(
    app: &App,
    visitor: &Visitor,
    asked: Result<Query<Asked>, Problem>,
) -> Result<Page, Failure> {
    let Query(Asked { to, cursor }) = asked.map_err(|problem| problem.0)?;
    let to = to.trim();
    let is_first = cursor.is_empty();
    let page = Some(pb::Page { limit: MAILS_A_PAGE, cursor });
    let request = ListMailsRequest { page, to: to.to_owned() };
    let listed = app.mails(visitor).list_mails(request).await;
    let listed = listed.map_err(|status| wire::failure(&status))?.into_inner();
    let next = match listed.next_cursor.as_str() {
        "" => String::new(),
        cursor => words::address("/mailbox", &[("to", to), ("cursor", cursor)]),
    };
    let now = app.clock.now();
    let values = context!(
        mails => listed.mails.iter().map(|mail| line(mail, now)).collect::<Value>(),
        to => to,
        is_first => is_first,
        newest => words::address("/mailbox", &[("to", to)]),
        next => next,
    );
    Ok(("mailbox.html", values))
}

async fn find(app: &App, visitor: &Visitor, id: &str) -> Result<Mail, Failure> {
    // What is no id names no mail.
    let id: MailId = id.parse().map_err(|_| Failure::not_found("mail"))?;
    let found = app.mails(visitor).get_mail(GetMailRequest { mail_id: id.to_string() }).await;
    Ok(found.map_err(|status| wire::failure(&status))?.into_inner())
}

/// What the list says of a mail, and its own page too.
fn line(mail: &Mail, now: Timestamp) -> Value {
    let (mood, status) = match mail.status() {
        MailStatus::Unspecified | MailStatus::Pending => ("wait", "waiting"),
        MailStatus::Processing => ("wait", "sending"),
        MailStatus::Sent => ("good", "sent"),
        MailStatus::Failed => ("bad", "failed"),
        MailStatus::Cancelled => ("over", "cancelled"),
    };
    let at = Timestamp::from_micros(mail.created_at_us);
    context!(
        id => &mail.mail_id,
        to => &mail.to,
        subject => if mail.subject.is_empty() { "(no subject)" } else { &mail.subject },
        mood => mood,
        status => status,
        datetime => at.to_string(),
        written => words::moment(at),
        ago => words::ago(at, now),
    )
}

/// The moment, or nothing for 0.
fn moment(at_us: i64) -> Option<String> {
    (at_us != 0).then(|| words::moment(Timestamp::from_micros(at_us)))
}
