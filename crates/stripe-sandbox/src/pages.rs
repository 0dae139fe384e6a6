//! What a person sees: recent payments, the 3-D Secure page; and the controls that tests turn.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{Html, IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::error;

use crate::{
    error::Refused,
    events, intents,
    session::{INTENT, Session, WEBHOOK, decode},
    store::{self, Slice},
    webhooks::{Controls, Shared},
};

/// How many payments the start page shows.
const SHOWN: i64 = 50;

/// Which way the buyer chose on the 3-D Secure page.
#[derive(Debug, Deserialize)]
pub(crate) struct Choice {
    answer: String,
}

/// `GET /`: the latest payments.
pub(crate) async fn recent(State(shared): State<Arc<Shared>>) -> Response {
    let found: Result<Vec<Value>, db::Error> = shared
        .db
        .read(|tx| {
            let slice = Slice { kind: INTENT, lookup: "", after: "", limit: SHOWN };
            Box::pin(async move {
                let listed = store::list(tx, &slice).await?;
                listed.iter().map(|intent| decode(INTENT, intent)).collect()
            })
        })
        .await;
    let intents = match found {
        Ok(intents) => intents,
        Err(error) => return failed(&error),
    };
    let mut rows = String::new();
    for intent in &intents {
        let cells = ["id", "status", "amount", "amount_received", "currency", "description"]
            .map(|field| format!("<td>{}</td>", escape(&text(intent, field))));
        rows.push_str("<tr>");
        rows.extend(cells);
        rows.push_str("</tr>\n");
    }
    page(&format!(
        "<p>A stand-in for Stripe: no money moves here. Card 4242 4242 4242 4242 pays, \
         4000 0000 0000 0002 is declined, 4000 0025 0000 3155 asks for authentication.</p>\
         <table><tr><th>payment intent<th>status<th>amount<th>received<th>currency<th>what</tr>\
         {rows}</table>"
    ))
}

/// `GET /sandbox/3ds/{id}`: the bank's page.
pub(crate) async fn challenge(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Response {
    let intent = match find(&shared, INTENT, &id).await {
        Ok(Some(intent)) => intent,
        Ok(None) => return (StatusCode::NOT_FOUND, "no such payment").into_response(),
        Err(error) => return failed(&error),
    };
    let amount = format!("{} {}", text(&intent, "amount"), text(&intent, "currency"));
    let button = |answer: &str, label: &str| {
        let id = escape(&id);
        format!(
            "<form method=post action=\"/sandbox/3ds/{id}?answer={answer}\">\
             <button>{label}</button></form>"
        )
    };
    page(&format!(
        "<h2>Your bank asks</h2><p>Do you approve the payment of {} (minor units)?</p>{}{}",
        escape(&amount),
        button("approve", "Approve"),
        button("deny", "Deny"),
    ))
}

/// `POST /sandbox/3ds/{id}?answer=approve|deny`
pub(crate) async fn answer_challenge(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    Query(choice): Query<Choice>,
) -> Response {
    let approved = match choice.answer.as_str() {
        "approve" => true,
        "deny" => false,
        _ => return (StatusCode::BAD_REQUEST, "answer is approve or deny").into_response(),
    };
    let before = match find(&shared, INTENT, &id).await {
        Ok(Some(intent)) => intent,
        Ok(None) => return (StatusCode::NOT_FOUND, "no such payment").into_response(),
        Err(error) => return failed(&error),
    };
    let result = authenticate(shared.clone(), id, approved).await;
    shared.due.notify_one();
    let status = match result {
        Ok(_) => "succeeded",
        Err(Refused::Api(error)) if error.status == 402 => "failed",
        Err(Refused::Api(error)) => {
            return (StatusCode::CONFLICT, Json(error.body())).into_response();
        }
        Err(Refused::Db(error)) => return failed(&error),
    };
    let back = before.pointer("/next_action/redirect_to_url/return_url").and_then(Value::as_str);
    let Some(back) = back.filter(|url| url.starts_with("http://") || url.starts_with("https://"))
    else {
        return page(&format!("<p>Authentication {status}. You may close this page.</p>"));
    };
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("payment_intent", &text(&before, "id"));
    query.append_pair("payment_intent_client_secret", &text(&before, "client_secret"));
    query.append_pair("redirect_status", status);
    let joint = if back.contains('?') { '&' } else { '?' };
    Redirect::to(&format!("{back}{joint}{}", query.finish())).into_response()
}

/// `GET /sandbox/controls`
pub(crate) async fn controls(State(shared): State<Arc<Shared>>) -> Json<Controls> {
    Json(shared.controls(|controls| controls.clone()))
}

/// `POST /sandbox/controls`: all of them at once; what is left out is reset.
pub(crate) async fn set_controls(
    State(shared): State<Arc<Shared>>,
    Json(wanted): Json<Controls>,
) -> Json<Controls> {
    shared.controls(|controls| controls.clone_from(&wanted));
    shared.due.notify_one();
    Json(wanted)
}

/// `POST /sandbox/events/{id}/deliver`: sends an event once more.
pub(crate) async fn deliver(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    let wanted = id.clone();
    let found = shared.db.read(move |tx| {
        let id = wanted.clone();
        Box::pin(async move { events::one(tx, &id).await })
    });
    match found.await {
        Ok(Some(_)) => {}
        Ok(None) => return (StatusCode::NOT_FOUND, "no such event").into_response(),
        Err(error) => return failed(&error),
    }
    let now = shared.clock.now();
    let written: Result<(), db::Error> = shared
        .db
        .write(move |tx| {
            let targets = vec![id.clone()];
            Box::pin(async move { store::insert_due(tx, WEBHOOK, targets, now).await })
        })
        .await;
    shared.due.notify_one();
    match written {
        Ok(()) => Json(json!({ "due": true })).into_response(),
        Err(error) => failed(&error),
    }
}

async fn find(shared: &Shared, kind: &'static str, id: &str) -> Result<Option<Value>, db::Error> {
    let id = id.to_owned();
    let found = shared.db.read(move |tx| {
        let id = id.clone();
        Box::pin(async move {
            let found = store::object(tx, kind, &id).await?;
            found.map(|object| decode(kind, &object)).transpose()
        })
    });
    found.await
}

async fn authenticate(shared: Arc<Shared>, id: String, approved: bool) -> Result<String, Refused> {
    let now = shared.clock.now();
    let db = shared.db.clone();
    let run = db.write(move |tx| {
        let (shared, id) = (shared.clone(), id.clone());
        Box::pin(async move {
            let mut session = Session::new(tx, now, &*shared.ids, &shared.public_url, None);
            let answer = intents::authenticate(&mut session, &id, approved).await;
            // A card that is refused is an answer, and has its effects.
            match &answer {
                Err(Refused::Api(error)) if !error.began => {}
                Err(Refused::Db(error)) => return Err(error.clone()),
                _ => session.finish(shared.delivery(now)).await?,
            }
            Ok(answer)
        })
    });
    run.await?
}

fn text(object: &Value, field: &str) -> String {
    match object.get(field) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn page(body: &str) -> Response {
    let head = "<!doctype html><html lang=en><meta charset=utf-8><title>Stripe sandbox</title>\
        <style>body{font:16px/1.5 sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}\
        td,th{padding:.2rem .8rem .2rem 0;text-align:left}</style><h1>Stripe sandbox</h1>";
    Html(format!("{head}{body}</html>")).into_response()
}

fn failed(error: &db::Error) -> Response {
    error!(%error, "sandbox page failed");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
