//! What every page gets: the services, the clock, the templates; and how a result becomes a page.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{Html, IntoResponse, Response},
};
use kernel::{Caller, Clock, Failure};
use minijinja::{Environment, UndefinedBehavior, Value, context, syntax::SyntaxConfig};
use platform::http::Problem;
use wire::{
    Context, Wire,
    pb::{
        email_worker::v1::client::EmailWorkerServiceClient, event::v1::client::EventServiceClient,
    },
};

use crate::{Deps, style};

const SOURCES: [(&str, &str); 5] = [
    ("layout.html", include_str!("../templates/layout.html")),
    ("programme.html", include_str!("../templates/programme.html")),
    ("mailbox.html", include_str!("../templates/mailbox.html")),
    ("mail.html", include_str!("../templates/mail.html")),
    ("failed.html", include_str!("../templates/failed.html")),
];

/// What is shown where not even the page for failures can be.
const LAST_RESORT: &str = "<!doctype html><title>Boxoffice</title><p>Something went wrong.";

/// A template and what goes into it.
pub(crate) type Page = (&'static str, Value);

pub(crate) struct App {
    event: Wire,
    email_worker: Wire,
    pub clock: Arc<dyn Clock>,
    templates: Environment<'static>,
}

/// Who looks at a page: nobody in particular, with the request's correlation id and deadline.
pub(crate) struct Visitor(Context);

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(platform::http::context(parts, Caller::Anonymous)))
    }
}

impl App {
    pub(crate) fn new(deps: Deps) -> Result<Self, minijinja::Error> {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.set_syntax(SyntaxConfig::builder().trim_blocks(true).build()?);
        templates.add_global("mailbox", deps.mailbox);
        templates.add_global("realtime_url", deps.realtime_url);
        templates.add_global("style_version", style::VERSION);
        for (name, source) in SOURCES {
            templates.add_template(name, source)?;
        }
        let Deps { event, email_worker, clock, .. } = deps;
        Ok(Self { event, email_worker, clock, templates })
    }

    /// event-service, asked as the visitor.
    pub(crate) fn events(&self, Visitor(context): &Visitor) -> EventServiceClient {
        EventServiceClient::new(self.event.with(context))
    }

    /// email-worker, asked as the operator `gateway`: mails are for operators, and a visitor is
    /// none. This hands everybody's mail to whoever opens the page, and is right only in the
    /// one-process demo, whose mails go nowhere else; the routes that come here don't exist in any
    /// other shape.
    pub(crate) fn mails(&self, Visitor(context): &Visitor) -> EmailWorkerServiceClient {
        let operator = Context::service("gateway").caller;
        EmailWorkerServiceClient::new(self.email_worker.with(&context.acting_as(operator)))
    }

    /// The page, or the page that says why there is none. Not to be stored by anybody.
    pub(crate) fn answer(&self, visitor: &Visitor, page: Result<Page, Failure>) -> Response {
        let page = page.and_then(|(template, values)| self.render(template, values));
        let mut response = match page {
            Ok(html) => Html(html).into_response(),
            Err(failure) => self.failed(visitor, failure),
        };
        let no_store = HeaderValue::from_static("no-store");
        response.headers_mut().insert(header::CACHE_CONTROL, no_store);
        response
    }

    fn failed(&self, Visitor(context): &Visitor, failure: Failure) -> Response {
        let retry = failure.retry_after_ms.unwrap_or(1_000).div_ceil(1_000);
        let detail = failure.to_string();
        let status = Problem(failure).status();
        if status.is_server_error() {
            tracing::warn!(%status, detail, "page failed");
        }
        let words = words(status);
        let values = context!(
            status => status.as_u16(),
            title => words.title,
            advice => words.advice,
            retry => status.is_server_error(),
            correlation_id => &*context.correlation_id,
        );
        let html = self.render("failed.html", values).unwrap_or_else(|_| LAST_RESORT.to_owned());
        let mut response = (status, Html(html)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, retry.into());
        }
        response
    }

    fn render(&self, template: &str, values: Value) -> Result<String, Failure> {
        let rendered = self.templates.get_template(template).and_then(|it| it.render(values));
        // The chain of causes names the template and the line.
        rendered.map_err(|error| Failure::internal(format!("{error:#}")))
    }
}

/// What a person is told of a failure, whatever its own words are.
struct Words {
    title: &'static str,
    advice: &'static str,
}

fn words(status: StatusCode) -> Words {
    let (title, advice) = match status {
        StatusCode::NOT_FOUND => {
            ("There is nothing here", "The address may be mistyped, or what was here is gone.")
        }
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            ("Back in a moment", "A part of the box office is not answering. Please try again.")
        }
        StatusCode::TOO_MANY_REQUESTS => {
            ("One at a time, please", "There were many requests at once. Wait a moment.")
        }
        status if status.is_client_error() => {
            ("This link does not work", "It may be cut off or out of date. Start from the top.")
        }
        _ => ("Something went wrong", "The fault is ours. If it stays, tell us the number below."),
    };
    Words { title, advice }
}
