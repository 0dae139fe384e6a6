//! Bodies and queries whose shape is right and whose values can't be: each is refused with its own
//! code, and nothing happens.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    stage::{
        Stage,
        Who::{Buyer, Operator, Other, Promoter, Theatre, Visitor},
    },
    table::routes,
};
use crate::system::Ask;

const INVALID: (u16, &str) = (422, "INVALID_ARGUMENT");

/// For the first route of this name in the table: a value at a pointer of its body, and what it is
/// told. Ids of the stage stand in braces.
fn wrong_values() -> Vec<(&'static str, &'static str, Value, (u16, &'static str))> {
    let mut all = Vec::new();
    all.extend(of_accounts());
    all.extend(of_venues());
    all.extend(of_events());
    all.extend(of_bookings());
    all
}

type Wrong = (&'static str, &'static str, Value, (u16, &'static str));

fn several(name: &'static str, pointer: &'static str, values: &[Value]) -> Vec<Wrong> {
    values.iter().map(|value| (name, pointer, value.clone(), INVALID)).collect()
}

fn of_accounts() -> Vec<Wrong> {
    const REGISTER: &str = "POST /api/v1/auth/register";
    const PROFILE: &str = "PATCH /api/v1/users/me/profile";
    let long = "x".repeat(10_000);
    let addresses = ["", "nobody", "@", "a@", "@b", "a b@c.de", "a@b\n.de", "a@b@c", "a\u{0}@b.de"];
    let addresses: Vec<_> = addresses.iter().map(|its| json!(its)).collect();
    let mut all = several(REGISTER, "/email", &addresses);
    all.extend(several(REGISTER, "/email", &[json!(format!("{long}@example.org"))]));
    let passwords = ["", "short1A", "alllowercase1", "ALLUPPERCASE1", "NoDigitsHere", "12345678"];
    let passwords: Vec<_> = passwords.iter().map(|its| json!(its)).collect();
    all.extend(several(REGISTER, "/password", &passwords));
    all.extend(several(REGISTER, "/password", &[json!(format!("Aa1{long}"))]));
    for name in ["/first_name", "/last_name", "/organization_name"] {
        all.extend(several(REGISTER, name, &[json!(""), json!("  "), json!(long)]));
    }
    all.extend(several(
        REGISTER,
        "/role",
        &[json!("admin"), json!("emperor"), json!("Organization")],
    ));
    all.push((REGISTER, "/email", json!("buyer@boxoffice.example"), (409, "EMAIL_TAKEN")));
    all.push((REGISTER, "/email", json!("BUYER@boxoffice.example"), (409, "EMAIL_TAKEN")));
    all.push(("POST /api/v1/auth/refresh", "/refresh_token", json!(long), (401, "SESSION_OVER")));
    all.extend(several(PROFILE, "/first_name", &[json!(long), json!("a\u{0}b")]));
    all.extend(several(PROFILE, "/phone", &[json!(long), json!("call me"), json!("+49\n40")]));
    let dates = ["2030-13-01", "1990-02-30", "31.01.1990", "2999-01-01", "0000-00-00", "yesterday"];
    let dates: Vec<_> = dates.iter().map(|its| json!(its)).collect();
    all.extend(several(PROFILE, "/date_of_birth", &dates));
    let big = json!({"a": "x".repeat(200_000)});
    all.extend(several(PROFILE, "/preferences", &[json!([1]), json!("dark"), json!(7), big]));
    let role = "PUT /api/v1/admin/accounts/{account}/role";
    all.extend(several(role, "/role", &[json!("emperor"), json!("")]));
    all
}

fn of_venues() -> Vec<Wrong> {
    const VENUE: &str = "POST /api/v1/venues";
    let long = json!("x".repeat(10_000));
    let mut all = Vec::new();
    for field in ["/name", "/city"] {
        all.extend(several(VENUE, field, &[json!(""), long.clone(), json!("a\u{0}b")]));
    }
    all.extend(several(VENUE, "/country", &[json!("Germany"), json!("1!"), json!("D"), json!("")]));
    let zones =
        [json!("Mars/Olympus"), json!(""), json!("Europe/Berlin\u{0}"), json!("../etc/passwd")];
    all.extend(several(VENUE, "/time_zone", &zones));
    let section = |key: &str| {
        let kind = "admission";
        json!({"key": key, "name": "A", "kind": kind, "category": "a", "capacity": 1})
    };
    let many: Vec<_> = (0..5_000).map(|at| section(&format!("s{at}"))).collect();
    let twice = json!([section("a"), section("a")]);
    all.extend(several(VENUE, "/plan/sections", &[json!([]), json!(many), twice]));
    let keys = [json!(""), json!("a/b"), json!("a b"), json!("ä"), json!("<b>"), long.clone()];
    all.extend(several(VENUE, "/plan/sections/0/key", &keys));
    all.extend(several(
        VENUE,
        "/plan/sections/0/category",
        &[json!(""), json!("a b"), long.clone()],
    ));
    all.extend(several(VENUE, "/plan/sections/0/rows", &[json!([])]));
    let names = [json!(""), json!("a/b"), long];
    all.extend(several(VENUE, "/plan/sections/0/rows/0/name", &names));
    let seats = [json!(0), json!(1_000_000), json!(u32::MAX)];
    all.extend(several(VENUE, "/plan/sections/0/rows/0/seats", &seats));
    let numbers = [json!(u32::MAX), json!(u32::MAX - 8)];
    all.extend(several(VENUE, "/plan/sections/0/rows/0/first_number", &numbers));
    let wheelchairs = [json!([0]), json!([10]), json!([1, 1]), json!([u32::MAX])];
    all.extend(several(VENUE, "/plan/sections/0/rows/0/wheelchair", &wheelchairs));
    let kept = json!({"name": "A", "first_number": 1, "seats": 2});
    all.extend(several(VENUE, "/plan/sections/0/rows", &[json!([kept.clone(), kept])]));
    all.extend(several(VENUE, "/plan/sections/1/capacity", &[json!(0), json!(u32::MAX)]));
    all.extend(several(VENUE, "/plan/sections/1/kind", &[json!("seated"), json!("standing")]));
    all.extend(several(VENUE, "/plan/sections/0/kind", &[json!("admission")]));
    all
}

fn of_events() -> Vec<Wrong> {
    const EVENT: &str = "POST /api/v1/events";
    const EDIT: &str = "PATCH /api/v1/events/{draft}";
    let long = json!("x".repeat(100_000));
    let mut all = Vec::new();
    for route in [EVENT, EDIT] {
        all.extend(several(
            route,
            "/name",
            &[json!(""), json!(" "), long.clone(), json!("a\u{0}b")],
        ));
        all.extend(several(route, "/description", std::slice::from_ref(&long)));
        all.extend(several(route, "/kind", &[json!("party"), json!("Concert"), json!("")]));
        for time in ["/starts_at", "/ends_at", "/sale_starts_at", "/sale_ends_at"] {
            let wrong =
                ["", "tomorrow", "2040-01-06", "2040-01-06T19:00:00", "2040-02-30T00:00:00Z"];
            let wrong: Vec<_> = wrong.iter().map(|its| json!(its)).collect();
            all.extend(several(route, time, &wrong));
        }
        all.extend(several(route, "/ends_at", &[json!("2040-01-06T18:00:00Z")]));
        all.extend(several(route, "/sale_ends_at", &[json!("2038-01-01T00:00:00Z")]));
        all.extend(several(route, "/max_per_booking", &[json!(101), json!(u32::MAX)]));
        let prices = [json!(-1), json!(i64::MIN), json!(i64::MAX)];
        all.extend(several(route, "/categories/0/price_minor", &prices));
        all.extend(several(
            route,
            "/categories/0/key",
            &[json!(""), json!("second"), json!("a b")],
        ));
        all.extend(several(route, "/queue/admissions_per_minute", &[json!(u32::MAX)]));
        all.extend(several(route, "/queue/admission_ttl_seconds", &[json!(u32::MAX)]));
    }
    all.extend(several(EVENT, "/currency", &[json!("EURO"), json!("XYZ"), json!("")]));
    all.extend(several(EVENT, "/venue_id", &[json!(""), json!("1")]));
    let unknown = json!("0190a0a0-0000-7000-8000-00000000dead");
    all.push((EVENT, "/venue_id", unknown, (404, "NOT_FOUND")));
    all
}

fn of_bookings() -> Vec<Wrong> {
    const BOOK: &str = "POST /api/v1/bookings";
    const DOOR: &str = "POST /api/v1/tickets/use";
    let mut all = several(BOOK, "/event_id", &[json!(""), json!("1"), json!("{ticket}x")]);
    let unknown = json!("0190a0a0-0000-7000-8000-00000000dead");
    all.push((BOOK, "/event_id", unknown.clone(), (404, "NOT_FOUND")));
    all.push((BOOK, "/event_id", json!("{draft}"), (404, "NOT_FOUND")));
    let best = |quantity: u32, section: &str, wheelchair: u32| {
        let best = json!({"quantity": quantity, "section": section, "wheelchair": wheelchair});
        json!({"best_available": best})
    };
    let seats = |seats: &[&str]| json!({"seats": seats});
    let entry = |section: &str, quantity: u32| {
        let entry = json!({"section": section, "quantity": quantity});
        json!({"admissions": entry})
    };
    let none = [
        seats(&[]),
        seats(&[""]),
        seats(&["stalls"]),
        seats(&["stalls/A/0/1"]),
        seats(&["stalls/A/one"]),
        seats(&["stalls/A/-1"]),
        seats(&["stalls/A/1", "stalls/A/1"]),
        seats(&["stalls/A/1'; drop table claims; --"]),
        best(0, "", 0),
        best(101, "", 0),
        best(1, "", 2),
        entry("stalls", 0),
        entry("", 1),
    ];
    all.extend(several(BOOK, "/choice", &none));
    let eleven: Vec<_> = (1..=11).map(|at| format!("stalls/B/{at}")).collect();
    let eleven: Vec<_> = eleven.iter().map(String::as_str).collect();
    for (choice, told) in [
        (seats(&eleven), (422, "TOO_MANY_PLACES")),
        (best(11, "", 0), (422, "TOO_MANY_PLACES")),
        (seats(&["stalls/A/99"]), (422, "INVALID_ARGUMENT")),
        (seats(&["cellar/A/1"]), (422, "INVALID_ARGUMENT")),
        (best(1, "cellar", 0), (422, "INVALID_ARGUMENT")),
        (entry("cellar", 1), (422, "INVALID_ARGUMENT")),
        (entry("stalls", 1), (422, "INVALID_ARGUMENT")),
        (seats(&["stalls/C/12"]), (409, "SEAT_TAKEN")),
        (seats(&["stalls/C/12", "stalls/C/13"]), (409, "SEAT_TAKEN")),
    ] {
        all.push((BOOK, "/choice", choice, told));
    }
    let code = (422, "INVALID_TICKET");
    for forged in ["", "x", "a.b.c", "{code}x", "'; --", "\u{0}"] {
        all.push((DOOR, "/code", json!(forged), code));
    }
    all.push((DOOR, "/code", json!("x".repeat(100_000)), code));
    all.extend(several(DOOR, "/event_id", &[json!(""), json!("1")]));
    all.push((DOOR, "/event_id", unknown, (404, "NOT_FOUND")));
    all.push((DOOR, "/event_id", json!("{arena}"), (409, "TICKET_EVENT_MISMATCH")));
    all.extend(several(DOOR, "/gate", &[json!("x".repeat(10_000)), json!("a\u{0}b")]));
    let cancel = "POST /api/v1/bookings/{booking}/cancel";
    all.extend(several(cancel, "/reason", &[json!("x".repeat(10_000))]));
    let retry = "POST /api/v1/admin/dead-letters/retry";
    all.extend(several(retry, "/booking_id", &[json!(""), json!("1")]));
    all.extend(several(retry, "/step", &[json!(""), json!("no such step")]));
    all.push((retry, "/step", json!("release_hold"), (404, "NOT_FOUND")));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_can_not_be_is_refused_with_its_code() {
    let stage = Stage::set().await;
    impossible_values(&stage).await;
    stage.end().await;
}

pub(super) async fn impossible_values(stage: &Stage) {
    let before = stage.picture().await;
    let routes = routes(stage);
    let mut surprises = Vec::new();
    for (name, pointer, value, (status, code)) in wrong_values() {
        let route = routes.iter().find(|its| its.name() == name);
        let route = route.unwrap_or_else(|| panic!("no route {name}"));
        let mut body = route.body.clone();
        let value = match value.as_str() {
            Some(text) => json!(stage.filled(text)),
            None => value,
        };
        *body.pointer_mut(pointer).unwrap_or_else(|| panic!("{name}: {pointer}")) = value;
        let answer = stage.send(route.by, route.ask(&stage.filled(route.path), &body)).await;
        if (answer.status, &answer.body["code"]) != (status, &json!(code)) {
            let told = answer.body.to_string();
            let told: String = told.chars().take(300).collect();
            surprises.push(format!(
                "{pointer} expected {code}: {} {told}\n  {}",
                answer.status, answer.asked
            ));
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    stage.unchanged_since(&before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_and_headers_that_can_not_be_are_refused() {
    let stage = Stage::set().await;
    wrong_queries(&stage).await;
    stage.end().await;
}

pub(super) async fn wrong_queries(stage: &Stage) {
    let before = stage.picture().await;
    let cursors = ["x", "%00", "AAAA", "'%20or%201=1", "eyJhIjoxfQ", &"A".repeat(600)];
    for (who, list) in [
        (Visitor, "/api/v1/events"),
        (Theatre, "/api/v1/events?mine=true"),
        (Theatre, "/api/v1/venues"),
        (Buyer, "/api/v1/bookings"),
        (Buyer, "/api/v1/tickets"),
        (Buyer, "/api/v1/payments"),
        (Operator, "/api/v1/admin/dead-letters"),
        (Operator, "/api/v1/admin/mails"),
    ] {
        let with =
            |query: &str| format!("{list}{}{query}", if list.contains('?') { '&' } else { '?' });
        let limits = ["101", "-1", "1.5", "ten", "4294967296", "%00", ""];
        for query in limits.map(|limit| format!("limit={limit}")) {
            stage.get(who, &with(&query)).await.expect(422);
        }
        for query in cursors.iter().map(|cursor| format!("cursor={cursor}")) {
            let answer = stage.get(who, &with(&query)).await;
            assert_eq!(answer.status, 422, "{answer:?}");
        }
        stage.get(who, &with("no_such=1")).await.expect(422);
        stage.get(who, &with("limit=1&limit=2")).await.expect(422);
        stage.get(who, &with("limit=1")).await.expect(200);
    }
    for query in ["%27%20OR%201=1", "%25", "_", "%00", "%3Cscript%3E", &"x".repeat(5_000)] {
        let answer = stage.get(Visitor, &format!("/api/v1/events?query={query}")).await;
        match answer.status {
            200 => assert_eq!(answer.body["items"], json!([]), "{query} is searched for as text"),
            status => assert_eq!(status, 422, "{answer:?}"),
        }
    }
    stage.get(Buyer, "/api/v1/tickets?booking_id=1").await.expect(422);
    let wish = json!({"event_id": stage.ids["event"], "choice": {"seats": ["stalls/D/1"]}});
    let book = Ask::new(Method::POST, "/api/v1/bookings").json(&wish);
    let long = "k".repeat(256);
    stage.send(Buyer, book.clone()).await.expect(422);
    for key in ["", " ", &long, "kéy"] {
        stage.send(Buyer, book.clone().header("idempotency-key", key)).await.expect(422);
    }
    let profile =
        Ask::new(Method::PATCH, "/api/v1/users/me/profile").json(&json!({"phone": "+49 40 1"}));
    for (tag, status) in [("\"999\"", 412), ("\"x\"", 422), ("\"-1\"", 422), ("W/\"1\"", 422)] {
        stage.send(Buyer, profile.clone().header("if-match", tag)).await.expect(status);
    }
    let draft = stage.filled("/api/v1/events/{draft}");
    let edit = Ask::new(Method::PATCH, &draft).json(&json!({"name": "Other"}));
    let stale = stage.send(Theatre, edit.header("if-match", "\"999\"")).await.expect(412);
    assert_eq!(stale["code"], "STALE_VERSION");
    stage.unchanged_since(&before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_state_refuses_is_a_conflict_or_forbidden() {
    let stage = Stage::set().await;
    wrong_states(&stage).await;
    stage.end().await;
}

pub(super) async fn wrong_states(stage: &Stage) {
    let mut bare = stage.new_event();
    bare["categories"] = json!([]);
    let bare = stage.post(Theatre, "/api/v1/events", &bare).await.expect(201);
    let before = stage.picture().await;
    let arena = json!({"event_id": stage.ids["arena"],
        "choice": {"best_available": {"quantity": 1, "category": "lower"}}});
    let mut forged = arena.clone();
    let path = stage.filled("/api/v1/events/{arena}/queue/place");
    let place = stage.get(Buyer, &path).await.expect(200);
    for token in ["", "x", "a.b", place["admission_token"].as_str().unwrap()] {
        forged["admission_token"] = json!(token);
        let refused = stage.post(Other, "/api/v1/bookings", &forged).await.expect(403);
        assert_eq!(refused["code"], "ADMISSION_REQUIRED", "{token}");
    }
    let draft = stage.filled("/api/v1/events/{draft}");
    for path in ["", "/availability", "/queue", "/seating-plan"] {
        stage.get(Visitor, &format!("{draft}{path}")).await.expect(404);
    }
    let publish = format!("/api/v1/events/{}/publish", bare["event_id"].as_str().unwrap());
    let refused = stage.post(Theatre, &publish, &Value::Null).await.expect(422);
    assert_eq!(refused["code"], "EVENT_NOT_READY", "{refused}");
    let mail = stage.filled("/api/v1/admin/mails/{mail}/retry");
    stage.post(Operator, &mail, &Value::Null).await.expect(409);
    let venue = json!({"name": "Barn", "address": "a", "city": "c", "country": "DE",
        "time_zone": "UTC", "plan": {"sections": []}, "organization_id": stage.ids["venue"]});
    let refused = stage.post(Promoter, "/api/v1/venues", &venue).await;
    assert!(matches!(refused.status, 403 | 422), "{refused:?}");
    for provider in ["stripe", "paypal", "%00"] {
        let path = format!("/webhooks/payment/{provider}");
        let forged = json!({"id": "evt_1", "type": "payment_intent.succeeded"});
        let ask = Ask::new(Method::POST, &path).json(&forged);
        for signature in ["", "t=1,v1=00", "t=99999999999999999999,v1=zz", "nonsense"] {
            let answer =
                stage.send(Visitor, ask.clone().header("stripe-signature", signature)).await;
            let expected = if provider == "stripe" { 400 } else { 404 };
            assert_eq!(answer.status, expected, "{answer:?}");
        }
    }
    stage.unchanged_since(&before).await;
}
