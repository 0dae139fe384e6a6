//! Nobody gets in without a token, or at what is another's.

use std::collections::BTreeSet;

use super::{
    stage::{Stage, Who::Visitor},
    table::{Route, routes},
};
use crate::system::System;

/// Paths that nothing stands behind, each told by another part: the router, the gateway, a service.
const NO_IDS: &[&str] = &[
    "x",
    "0",
    "-1",
    "null",
    "0190a0a0-0000-7000-8000-0000000000000",
    "0190a0a0-0000-7000-8000-00000000000g",
    "'%20OR%201=1--",
    "%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "..%2f..%2fadmin",
    "%00",
    "%0d%0aSet-Cookie:%20a=b",
    "%F0%9F%8E%AB",
    "%FF",
    "{}",
];

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_token_nobody_gets_in() {
    let (stage, elsewhere) = tokio::join!(Stage::set(), System::start(&[]));
    let before = stage.picture().await;
    let foreign = elsewhere.person("operator").await;
    let tokens = ["", "null", "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.", "ü"];
    let visitor = stage.person(Visitor);
    for route in routes(&stage).iter().filter(|its| its.is_secured(&stage.document)) {
        let path = stage.filled(route.path);
        let bad = tokens.iter().map(|token| visitor.with_token(token));
        let bad = bad.chain([visitor.clone(), visitor.with_token(foreign.token.as_ref().unwrap())]);
        for web in bad {
            let answer = stage.send_as(&web, route.ask(&path, &route.body)).await;
            assert_eq!(answer.header("www-authenticate"), "Bearer", "{}", route.name());
            assert_eq!(answer.expect(401)["code"], "UNAUTHENTICATED", "{}", route.name());
        }
    }
    stage.unchanged_since(&before).await;
    stage.end().await;
    elsewhere.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_another_s_is_neither_seen_nor_changed() {
    let stage = Stage::set().await;
    strangers(&stage).await;
    stage.end().await;
}

pub(super) async fn strangers(stage: &Stage) {
    let before = stage.picture().await;
    for route in &routes(stage) {
        for (who, status) in route.not_by {
            let ask = route.ask(&stage.filled(route.path), &route.body);
            let answer = stage.send(*who, ask).await;
            assert_eq!(answer.status, *status, "{who:?}: {}", answer.asked);
        }
    }
    stage.unchanged_since(&before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_are_none_lead_nowhere() {
    let stage = Stage::set().await;
    wrong_ids(&stage).await;
    stage.end().await;
}

pub(super) async fn wrong_ids(stage: &Stage) {
    let before = stage.picture().await;
    let long = "x".repeat(3_000);
    for route in routes(stage).iter().filter(|its| its.path.contains('{')) {
        let name = route.path.split(['{', '}']).nth(1).unwrap();
        let at = |id: &str| stage.filled(&route.path.replace(&format!("{{{name}}}"), id));
        for id in NO_IDS.iter().copied().chain([&*long]) {
            let answer = stage.send(route.by, route.ask(&at(id), &route.body)).await;
            assert!(matches!(answer.status, 400 | 404 | 422), "{answer:?}");
        }
        if name == "hold" {
            continue; // It is the caller who makes its id.
        }
        let unknown = at("0190a0a0-0000-7000-8000-00000000dead");
        let answer = stage.send(route.by, route.ask(&unknown, &route.body)).await;
        if route.path.contains('?') {
            assert_eq!(answer.expect(200)["items"], serde_json::json!([]));
        } else {
            assert_eq!(answer.expect(404)["code"], "NOT_FOUND", "{}", route.name());
        }
    }
    stage.unchanged_since(&before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_has_every_route() {
    let stage = Stage::set().await;
    let own = |route: &Route| route.documented(&stage.document)["operationId"].to_string();
    let mine: BTreeSet<_> = routes(&stage).iter().map(own).collect();
    let paths = stage.document["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|methods| methods.as_object().unwrap().values());
    let mut all: BTreeSet<_> = operations.map(|its| its["operationId"].to_string()).collect();
    assert!(all.remove("\"webhook\""), "it has tests of its own");
    assert_eq!(mine, all);
    stage.end().await;
}
