//! Every route: who may ask, who may not and is told what, and a body that is right.

use std::hash::{DefaultHasher, Hash, Hasher};

use reqwest::Method;
use serde_json::{Value, json};

use super::stage::{
    Stage,
    Who::{self, Buyer, Operator, Other, Promoter, Theatre, Visitor},
};
use crate::system::Ask;

/// One route, with a request that would be answered well.
pub(super) struct Route {
    pub(super) method: Method,
    /// With names of the stage's ids in it.
    pub(super) path: &'static str,
    pub(super) by: Who,
    /// Who is signed in and refused, with which status.
    pub(super) not_by: &'static [(Who, u16)],
    /// Null where there is none.
    pub(super) body: Value,
}

impl Route {
    /// Whether it asks for a token, as documented.
    pub(super) fn is_secured(&self, document: &Value) -> bool {
        self.documented(document).get("security").is_some()
    }

    /// The request, with another body, if any; each body has a key of its own.
    pub(super) fn ask(&self, path: &str, body: &Value) -> Ask {
        let ask = Ask::new(self.method.clone(), path);
        let ask = if body.is_null() { ask } else { ask.json(body) };
        match self.needs_a_key() {
            true => {
                let mut hasher = DefaultHasher::new();
                body.to_string().hash(&mut hasher);
                ask.header("idempotency-key", &format!("table-{:x}", hasher.finish()))
            }
            false => ask,
        }
    }

    fn needs_a_key(&self) -> bool {
        self.method == Method::POST
            && (self.path == "/api/v1/bookings" || self.path.ends_with("/cancel"))
    }

    pub(super) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The path in the OpenAPI document: other names stand for the ids.
    pub(super) fn documented<'d>(&self, document: &'d Value) -> &'d Value {
        let mine: Vec<_> = self.path.split('?').next().unwrap().split('/').collect();
        let fits = |path: &str| {
            let theirs: Vec<_> = path.split('/').collect();
            let same = |(mine, its): (&&str, &&str)| {
                mine.starts_with('{') && its.starts_with('{') || mine == its
            };
            theirs.len() == mine.len() && mine.iter().zip(&theirs).all(same)
        };
        let paths = document["paths"].as_object().unwrap();
        let found = paths.iter().find(|(path, _)| fits(path));
        let (_, found) = found.unwrap_or_else(|| panic!("{} is not documented", self.path));
        &found[self.method.as_str().to_lowercase()]
    }
}

const INDIVIDUALS: &[(Who, u16)] = &[(Buyer, 403), (Other, 403)];
const NO_OPERATORS: &[(Who, u16)] = &[(Theatre, 403), (Buyer, 403), (Other, 403)];
const STRANGERS: &[(Who, u16)] = &[(Other, 404), (Promoter, 404)];
const NOT_THE_THEATRE: &[(Who, u16)] = &[(Buyer, 403), (Promoter, 404)];

/// All routes of the public interface.
pub(super) fn routes(stage: &Stage) -> Vec<Route> {
    let mut all = visitors(stage);
    all.extend(buyers(stage));
    all.extend(sellers(stage));
    all.extend(operators());
    all
}

fn get(path: &'static str, by: Who, not_by: &'static [(Who, u16)]) -> Route {
    Route { method: Method::GET, path, by, not_by, body: Value::Null }
}

fn post(path: &'static str, by: Who, not_by: &'static [(Who, u16)], body: Value) -> Route {
    Route { method: Method::POST, path, by, not_by, body }
}

fn visitors(_: &Stage) -> Vec<Route> {
    let nobody = json!({"email": "nobody@buyers.example"});
    let register = json!({
        "email": "new@buyers.example", "password": "Correct-horse-1", "first_name": "Nia",
        "last_name": "New", "role": "organization", "organization_name": "New",
    });
    let pin = json!({"email": "nobody@buyers.example", "pin": "123456"});
    let login = json!({"email": "nobody@buyers.example", "password": "Correct-horse-1"});
    vec![
        post("/api/v1/auth/register", Visitor, &[], register),
        post("/api/v1/auth/verify-email", Visitor, &[], pin),
        post("/api/v1/auth/resend-verification", Visitor, &[], nobody),
        post("/api/v1/auth/login", Visitor, &[], login),
        post("/api/v1/auth/refresh", Visitor, &[], json!({"refresh_token": "none"})),
        get("/.well-known/jwks.json", Visitor, &[]),
        get("/api/v1/settings", Visitor, &[]),
        get("/api/v1/events", Visitor, &[]),
        get("/api/v1/events/{event}", Visitor, &[]),
        get("/api/v1/events/{event}/seating-plan", Visitor, &[]),
        get("/api/v1/events/{event}/availability", Visitor, &[]),
        get("/api/v1/events/{arena}/queue", Visitor, &[]),
        get("/api/v1/tickets/keys", Visitor, &[]),
    ]
}

fn buyers(stage: &Stage) -> Vec<Route> {
    let edit = json!({
        "first_name": "Bea", "last_name": "Demo", "phone": "+49 40 123456",
        "date_of_birth": "1990-01-31", "preferences": {"language": "de"},
    });
    let seats = json!({"seats": ["stalls/D/1", "stalls/D/2"]});
    let booking = json!({"event_id": stage.ids["event"], "choice": seats, "admission_token": ""});
    let best = json!({"quantity": 2, "section": "stalls", "category": "first", "wheelchair": 0});
    let best = json!({"event_id": stage.ids["event"], "choice": {"best_available": best}});
    let entry = json!({"admissions": {"section": "saturday", "quantity": 1}});
    let entry = json!({"event_id": stage.ids["free"], "choice": entry});
    let queue_place = || "/api/v1/events/{arena}/queue/place";
    vec![
        post("/api/v1/auth/logout", Other, &[], Value::Null),
        get("/api/v1/accounts/me", Buyer, &[]),
        get("/api/v1/users/me/profile", Buyer, &[]),
        Route { method: Method::PATCH, ..post("/api/v1/users/me/profile", Buyer, &[], edit) },
        post("/api/v1/events/{arena}/queue", Buyer, &[], json!({"wish": seats_of_the_arena()})),
        get(queue_place(), Buyer, &[(Other, 404)]),
        Route { method: Method::DELETE, ..get(queue_place(), Buyer, &[(Other, 404)]) },
        Route { method: Method::PUT, ..post("/api/v1/holds/{hold}", Buyer, &[], best.clone()) },
        Route { method: Method::DELETE, ..get("/api/v1/holds/{hold}", Buyer, &[]) },
        post("/api/v1/bookings", Buyer, &[], booking),
        post("/api/v1/bookings", Buyer, &[], best),
        post("/api/v1/bookings", Buyer, &[], entry),
        get("/api/v1/bookings", Buyer, &[]),
        get("/api/v1/bookings/{booking}", Buyer, STRANGERS),
        get("/api/v1/bookings/{booking}/history", Buyer, STRANGERS),
        post("/api/v1/bookings/{booking}/cancel", Buyer, STRANGERS, json!({"reason": "ill"})),
        get("/api/v1/tickets", Buyer, &[]),
        get("/api/v1/tickets?booking_id={confirmed}", Buyer, &[]),
        get("/api/v1/tickets/{ticket}", Buyer, &[(Other, 404), (Theatre, 404)]),
        get("/api/v1/tickets/{ticket}/qr.svg", Buyer, &[(Other, 404), (Theatre, 404)]),
        get("/api/v1/payments", Buyer, &[]),
        get("/api/v1/payments/{payment}", Buyer, STRANGERS),
    ]
}

fn seats_of_the_arena() -> Value {
    json!({"best_available": {"quantity": 2, "category": "lower"}})
}

fn sellers(stage: &Stage) -> Vec<Route> {
    let row =
        json!({"name": "A", "first_number": 1, "seats": 9, "category": "b", "wheelchair": [1]});
    let seated = json!({"key": "hall", "name": "Hall", "kind": "seated", "category": "a",
        "rows": [row]});
    let standing = json!({"key": "pit", "name": "Pit", "kind": "admission", "category": "a",
        "capacity": 50});
    let venue = json!({
        "name": "Barn", "address": "1 Field Lane", "city": "Husum", "country": "DE",
        "time_zone": "Europe/Berlin", "plan": {"sections": [seated, standing]},
    });
    let mut edit = stage.new_event();
    for fixed in ["venue_id", "currency"] {
        edit.as_object_mut().unwrap().remove(fixed);
    }
    let door = json!({"code": stage.ids["code"], "event_id": stage.ids["free"]});
    let mut use_it = door.clone();
    use_it["gate"] = json!("north");
    vec![
        post("/api/v1/venues", Theatre, INDIVIDUALS, venue),
        get("/api/v1/venues", Theatre, INDIVIDUALS),
        get("/api/v1/venues/{venue}", Theatre, NOT_THE_THEATRE),
        post("/api/v1/events", Theatre, NOT_THE_THEATRE, stage.new_event()),
        get("/api/v1/events?mine=true", Theatre, INDIVIDUALS),
        get("/api/v1/events/{draft}", Theatre, STRANGERS),
        Route {
            method: Method::PATCH,
            ..post("/api/v1/events/{draft}", Theatre, NOT_THE_THEATRE, edit)
        },
        post("/api/v1/events/{draft}/publish", Theatre, NOT_THE_THEATRE, Value::Null),
        post("/api/v1/tickets/validate", Promoter, &[(Buyer, 403), (Theatre, 403)], door),
        post("/api/v1/tickets/use", Promoter, &[(Buyer, 403), (Theatre, 403)], use_it),
    ]
}

fn operators() -> Vec<Route> {
    let step =
        json!({"booking_id": "0190a0a0-0000-7000-8000-00000000dead", "step": "refund_payment"});
    let role = json!({"role": "individual"});
    let set_role = "/api/v1/admin/accounts/{account}/role";
    vec![
        Route { method: Method::PUT, ..post(set_role, Operator, NO_OPERATORS, role) },
        get("/api/v1/admin/dead-letters", Operator, NO_OPERATORS),
        post("/api/v1/admin/dead-letters/retry", Operator, NO_OPERATORS, step),
        get("/api/v1/admin/mails", Operator, NO_OPERATORS),
        get("/api/v1/admin/mails/{mail}", Operator, NO_OPERATORS),
        post("/api/v1/admin/mails/{mail}/retry", Operator, NO_OPERATORS, Value::Null),
        get("/api/v1/admin/realtime", Operator, NO_OPERATORS),
    ]
}
