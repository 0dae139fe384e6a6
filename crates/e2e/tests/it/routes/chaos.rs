//! Hostile texts everywhere, and bodies broken at random: never a fault of ours, and what is taken
//! is kept as the text that it is.

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use testkit::SeededIds;

use super::{
    bodies::pointers,
    stage::{
        Stage,
        Who::{Theatre, Visitor},
    },
    table::{Route, routes},
};

/// How many requests are broken at random.
const ROUNDS: u64 = 1_500;
const AT_ONCE: usize = 16;
const SCRIPT: &str = "<script>alert(\"1\")</script><img src=x onerror=alert(1)>{{ 7*7 }}";

fn hostile() -> Vec<Value> {
    [
        "\u{0}",
        "a\u{0}b",
        "\r\nSet-Cookie: a=b",
        "\u{1b}[31m",
        "\u{202e}desrever",
        "🎫👩‍👩‍👧‍👦",
        "e\u{301}\u{301}\u{301}",
        "\u{feff}",
        "'; drop table accounts; --",
        "\" or \"\"=\"",
        "$1 ${7*7} %s %n {} {{7*7}}",
        "../../../etc/passwd",
        "1e400",
        "NaN",
        "null",
        SCRIPT,
    ]
    .into_iter()
    .map(|text| json!(text))
    .chain([json!("x".repeat(70_000)), json!("🎫".repeat(3_000))])
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_texts_are_refused_or_kept_as_texts() {
    Stage::on_both(async |stage| hostile_texts(stage).await).await;
}

async fn hostile_texts(stage: &Stage) {
    let routes = routes(stage);
    let mut asks = Vec::new();
    for route in routes.iter().filter(|route| !route.body.is_null()) {
        for pointer in pointers(&route.body) {
            if !route.body.pointer(&pointer).unwrap().is_string() {
                continue;
            }
            for text in hostile() {
                let mut body = route.body.clone();
                *body.pointer_mut(&pointer).unwrap() = text;
                asks.push((route.by, route.ask(&stage.filled(route.path), &body)));
            }
            // A surrogate without its other half is JSON, and no text.
            let mut ask = route.ask(&stage.filled(route.path), &route.body);
            let mut body = route.body.clone();
            *body.pointer_mut(&pointer).unwrap() = json!("SURROGATE");
            ask.body = Some(body.to_string().replace("SURROGATE", "\\ud800").into_bytes());
            asks.push((route.by, ask));
        }
    }
    let sent = stream::iter(asks).map(|(who, ask)| stage.send(who, ask));
    sent.buffer_unordered(AT_ONCE).for_each(async |_| {}).await;

    let mut event = stage.new_event();
    event["name"] = json!(SCRIPT);
    event["description"] = json!(SCRIPT);
    event["sale_starts_at"] = json!("2020-01-01T00:00:00Z");
    let made = stage.post(Theatre, "/api/v1/events", &event).await.expect(201);
    assert_eq!(made["name"], SCRIPT, "kept as it is");
    let id = made["event_id"].as_str().unwrap();
    stage.post(Theatre, &format!("/api/v1/events/{id}/publish"), &Value::Null).await.expect(200);
    let shown = |events: &Value| events.to_string().contains(id);
    stage.wait_for(Visitor, "/api/v1/events?limit=100", shown).await;
    let page = stage.person(Visitor).get("/").await.expect(200);
    let page = page.as_str().unwrap();
    assert!(page.contains("&lt;script&gt;"), "it is shown: {page}");
    assert!(!page.contains("<script>alert") && !page.contains("<img src=x"), "{page}");
}

/// Breaks `value` somewhere.
fn broken(dice: &SeededIds, value: &Value) -> Value {
    let mut broken = value.clone();
    for _ in 0..=dice.below(3) {
        let all = pointers(&broken);
        let pointer = &all[usize::try_from(dice.below(all.len() as u64)).unwrap()];
        let other = match dice.below(12) {
            0 => Value::Null,
            1 => json!(dice.number()),
            2 => json!(i64::MIN),
            3 => json!(-1),
            4 => json!(0),
            5 => json!(1e308),
            6 => json!([]),
            7 => json!({}),
            8 => hostile().swap_remove(usize::try_from(dice.below(18)).unwrap()),
            9 => json!([broken.clone(), broken.clone()]),
            10 => {
                let from = &all[usize::try_from(dice.below(all.len() as u64)).unwrap()];
                broken.pointer(from).unwrap().clone()
            }
            _ => {
                let mut same = broken.pointer(pointer).unwrap().clone();
                match &mut same {
                    Value::Array(items) => items.extend(items.clone()),
                    Value::Object(fields) => {
                        fields.retain(|_, _| dice.below(2) == 0);
                    }
                    Value::String(text) => text.push_str(&dice.number().to_string()),
                    Value::Number(number) => *number = (dice.below(1 << 33)).into(),
                    _ => {}
                }
                same
            }
        };
        *broken.pointer_mut(pointer).unwrap() = other;
    }
    broken
}

/// Flips, drops or doubles a few bytes.
fn garbled(dice: &SeededIds, mut bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..=dice.below(4) {
        let at = usize::try_from(dice.below(bytes.len() as u64 + 1)).unwrap();
        let byte = u8::try_from(dice.below(256)).unwrap();
        match dice.below(3) {
            0 => bytes.insert(at, byte),
            1 => bytes.truncate(at),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|old| *old = byte),
        }
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_broken_at_random_are_never_a_fault_of_ours() {
    Stage::on_both(async |stage| break_at_random(stage).await).await;
}

async fn break_at_random(stage: &Stage) {
    const SEED: u64 = 20_261_122;
    let routes = routes(stage);
    let bodies: Vec<&Route> = routes.iter().filter(|route| !route.body.is_null()).collect();
    let dice = SeededIds::new(SEED);
    let rounds = stream::iter(0..ROUNDS).map(|_| {
        let route = bodies[usize::try_from(dice.below(bodies.len() as u64)).unwrap()];
        let mut ask = route.ask(&stage.filled(route.path), &broken(&dice, &route.body));
        if dice.below(8) == 0 {
            ask.body = ask.body.map(|body| garbled(&dice, body));
        }
        if let Some((_, key)) = ask.headers.iter_mut().find(|(name, _)| *name == "idempotency-key")
        {
            *key = dice.number().to_string();
        }
        stage.send(route.by, ask)
    });
    let answers = rounds.buffer_unordered(AT_ONCE).map(|answer| answer.status);
    let statuses: Vec<u16> = answers.collect().await;
    let refused = statuses.iter().filter(|status| **status >= 400).count();
    assert!(refused > statuses.len() / 2, "most of it is broken: {refused}");
}
