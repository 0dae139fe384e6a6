//! `GET /demo/accounts`: who can log in to a demo, for `boxoffice demo --against` and for people
//! who look around. There only where the mailbox is, which lets anybody in as well.

use std::net::IpAddr;

use axum::{
    Json, Router,
    http::{HeaderMap, StatusCode, header::HOST},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};

use crate::seed::DemoAccount;

/// Where the demo accounts are told.
pub(crate) const DEMO_ACCOUNTS: &str = "/demo/accounts";

pub(super) fn routes(accounts: &[DemoAccount]) -> Router {
    let account = |account: &DemoAccount| {
        let password = account.password.expose();
        json!({"title": account.title, "email": account.email, "password": password})
    };
    let body: Value = json!({"accounts": accounts.iter().map(account).collect::<Vec<_>>()});
    Router::new()
        .route(DEMO_ACCOUNTS, get(move |headers: HeaderMap| async move { answer(&headers, body) }))
}

/// A page of another site that has its name resolve to this machine is not told.
fn answer(headers: &HeaderMap, body: Value) -> Response {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    match is_loopback(host) {
        true => Json(body).into_response(),
        false => StatusCode::NOT_FOUND.into_response(),
    }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_asks_for_this_machine_by_name_is_told() {
        for host in ["127.0.0.1:3000", "localhost", "localhost:80", "[::1]:3000", "127.0.0.2"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "evil.example", "evil.example:3000", "localhost.evil.example", "10.0.0.1"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
