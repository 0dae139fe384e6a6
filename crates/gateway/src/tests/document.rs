//! The OpenAPI document says what is there: it is walked, and every operation is called as
//! documented.

use std::collections::BTreeSet;

use axum::http::Method;
use kernel::Role;
use serde_json::{Map, Value, json};

use super::world::{Ask, ID, World};

/// The public interface as it is agreed, and the call that each route becomes.
pub(super) const AGREED: &[(&str, &str)] = &[
    ("DELETE /api/v1/events/{event_id}/queue/place", "BookingWorkerService/LeaveQueue"),
    ("DELETE /api/v1/holds/{hold_id}", "BookingService/ReleasePlaces"),
    ("GET /.well-known/jwks.json", "AuthService/GetJwks"),
    ("GET /api/v1/accounts/me", "AuthService/GetAccount"),
    ("GET /api/v1/admin/dead-letters", "BookingService/ListDeadLetters"),
    ("GET /api/v1/admin/mails", "EmailWorkerService/ListMails"),
    ("GET /api/v1/admin/mails/{mail_id}", "EmailWorkerService/GetMail"),
    ("GET /api/v1/admin/realtime", "RealtimeService/GetConnectionStats"),
    ("GET /api/v1/bookings", "BookingService/ListBookings"),
    ("GET /api/v1/bookings/{booking_id}", "BookingService/GetBooking"),
    ("GET /api/v1/bookings/{booking_id}/history", "BookingService/GetHistory"),
    ("GET /api/v1/events", "EventService/ListEvents"),
    ("GET /api/v1/events/{event_id}", "EventService/GetEvent"),
    ("GET /api/v1/events/{event_id}/availability", "TicketService/GetAvailability"),
    ("GET /api/v1/events/{event_id}/queue", "BookingWorkerService/GetQueue"),
    ("GET /api/v1/events/{event_id}/queue/place", "BookingWorkerService/GetPlace"),
    ("GET /api/v1/events/{event_id}/seating-plan", "EventService/GetSeatingPlan"),
    ("GET /api/v1/payments", "PaymentService/ListPayments"),
    ("GET /api/v1/payments/{payment_id}", "PaymentService/GetPayment"),
    ("GET /api/v1/settings", ""),
    ("GET /api/v1/tickets", "TicketService/ListTickets"),
    ("GET /api/v1/tickets/keys", "TicketService/GetSigningKeys"),
    ("GET /api/v1/tickets/{ticket_id}", "TicketService/GetTicket"),
    ("GET /api/v1/tickets/{ticket_id}/qr.svg", "TicketService/GetTicket"),
    ("GET /api/v1/users/me/profile", "UserService/GetProfile"),
    ("GET /api/v1/venues", "EventService/ListVenues"),
    ("GET /api/v1/venues/{venue_id}", "EventService/GetVenue"),
    ("PATCH /api/v1/events/{event_id}", "EventService/UpdateEvent"),
    ("PATCH /api/v1/users/me/profile", "UserService/UpdateProfile"),
    ("POST /api/v1/admin/dead-letters/retry", "BookingService/RetryDeadLetter"),
    ("POST /api/v1/admin/mails/{mail_id}/retry", "EmailWorkerService/RetryMail"),
    ("POST /api/v1/auth/login", "AuthService/Login"),
    ("POST /api/v1/auth/logout", "AuthService/Logout"),
    ("POST /api/v1/auth/refresh", "AuthService/Refresh"),
    ("POST /api/v1/auth/register", "AuthService/Register"),
    ("POST /api/v1/auth/resend-verification", "AuthService/ResendVerification"),
    ("POST /api/v1/auth/verify-email", "AuthService/VerifyEmail"),
    ("POST /api/v1/bookings", "BookingService/OpenBooking"),
    ("POST /api/v1/bookings/{booking_id}/cancel", "BookingService/CancelBooking"),
    ("POST /api/v1/events", "EventService/CreateEvent"),
    ("POST /api/v1/events/{event_id}/publish", "EventService/PublishEvent"),
    ("POST /api/v1/events/{event_id}/queue", "BookingWorkerService/JoinQueue"),
    ("POST /api/v1/tickets/use", "TicketService/UseTicket"),
    ("POST /api/v1/tickets/validate", "TicketService/ValidateTicket"),
    ("POST /api/v1/venues", "EventService/CreateVenue"),
    ("POST /webhooks/payment/{provider}", "PaymentService/ProcessWebhook"),
    ("PUT /api/v1/admin/accounts/{account_id}/role", "AuthService/SetRole"),
    ("PUT /api/v1/holds/{hold_id}", "BookingService/HoldPlaces"),
];

/// One operation of the document.
struct Operation {
    method: Method,
    path: String,
    says: Value,
}

impl Operation {
    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn is_secured(&self) -> bool {
        self.says.get("security").is_some()
    }

    fn documents(&self, status: u16) -> Option<&Value> {
        self.says["responses"].get(status.to_string())
    }

    /// A request as documented, without a token.
    fn ask(&self, document: &Value) -> Ask {
        let path = self.path.replace("{provider}", "stripe");
        let path = path.split('/').map(|part| if part.starts_with('{') { ID } else { part });
        let mut ask = Ask::new(self.method.clone(), &path.collect::<Vec<_>>().join("/"));
        for parameter in self.says["parameters"].as_array().into_iter().flatten() {
            if parameter["name"] == "Idempotency-Key" {
                ask = ask.once();
            }
        }
        match self.says["requestBody"]["content"].get("application/json") {
            Some(body) => ask.json(&made(document, &body["schema"])),
            None => ask,
        }
    }
}

async fn document(world: &World) -> Value {
    Ask::get("/api/docs/openapi.json").to(world).await.expect(200)
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, says) in methods.as_object().unwrap() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            all.push(Operation { method, path: path.clone(), says: says.clone() });
        }
    }
    all
}

/// The schema itself, where there is only a reference to it.
fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    match schema.get("$ref").and_then(Value::as_str) {
        None => schema,
        Some(reference) => {
            let target = document.pointer(reference.strip_prefix('#').unwrap());
            resolved(document, target.unwrap_or_else(|| panic!("{reference} leads nowhere")))
        }
    }
}

/// A value that fits a schema: its example, or the least that it demands.
fn made(document: &Value, schema: &Value) -> Value {
    let schema = resolved(document, schema);
    if let Some(example) = schema.get("example") {
        return example.clone();
    }
    for several in ["oneOf", "anyOf", "allOf"] {
        if let Some(options) = schema.get(several).and_then(Value::as_array) {
            return made(document, options.last().unwrap());
        }
    }
    if let Some(first) = schema.get("enum").and_then(|its| its.get(0)) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("string") if schema["format"] == "date-time" => json!("2030-01-01T20:00:00Z"),
        Some("string") => json!("x"),
        Some("integer") => json!(1),
        Some("boolean") => json!(false),
        Some("array") => json!([]),
        _ => {
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            let fields = required.iter().map(|field| {
                let field = field.as_str().unwrap();
                (field.to_owned(), made(document, &schema["properties"][field]))
            });
            Value::Object(fields.collect::<Map<_, _>>())
        }
    }
}

/// What about `value` does not fit the schema.
fn misfit(document: &Value, schema: &Value, value: &Value, path: &str) -> Option<String> {
    let schema = resolved(document, schema);
    if let Some(options) = schema.get("oneOf").and_then(Value::as_array) {
        let fits = options.iter().any(|its| misfit(document, its, value, path).is_none());
        return (!fits).then(|| format!("{path}: none of oneOf fits {value}"));
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.clone(),
        Value::Null => return None,
        one => vec![one.clone()],
    };
    let own = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !types.contains(&json!(own)) {
        return Some(format!("{path}: {own} is not {types:?}"));
    }
    match value {
        Value::Array(items) => {
            items.iter().find_map(|its| misfit(document, &schema["items"], its, path))
        }
        Value::Object(fields) => {
            let required = schema["required"].as_array().into_iter().flatten();
            let mut names = required.filter_map(Value::as_str);
            if let Some(name) = names.find(|name| !fields.contains_key(*name)) {
                return Some(format!("{path}.{name} is missing"));
            }
            let known = schema.get("properties").and_then(Value::as_object)?;
            fields.iter().find_map(|(name, value)| match known.get(name) {
                None => Some(format!("{path}.{name} is not documented")),
                Some(schema) => misfit(document, schema, value, &format!("{path}.{name}")),
            })
        }
        _ => None,
    }
}

#[tokio::test]
async fn the_document_lists_what_is_agreed_and_nothing_else() {
    let world = World::new().await;
    let document = document(&world).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."), "{}", document["openapi"]);
    let operations = operations(&document);
    let names: BTreeSet<_> = operations.iter().map(Operation::name).collect();
    let agreed: BTreeSet<_> = AGREED.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names, agreed);
    let mut ids = BTreeSet::new();
    for operation in &operations {
        let name = operation.name();
        assert!(ids.insert(operation.says["operationId"].to_string()), "{name}: id used twice");
        assert!(operation.says["summary"].is_string(), "{name} says what it does");
        assert!(!operation.is_secured() || operation.documents(401).is_some(), "{name}: 401");
        for parameter in operation.path.split('/').filter_map(|part| part.strip_prefix('{')) {
            let parameter = parameter.trim_end_matches('}');
            let listed = operation.says["parameters"].as_array().into_iter().flatten();
            let mut listed = listed.filter(|its| its["in"] == "path");
            assert!(listed.any(|its| its["name"] == parameter), "{name}: {parameter}");
        }
    }
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
    }
    let scheme = &document["components"]["securitySchemes"]["bearer"];
    assert_eq!((&scheme["type"], &scheme["scheme"]), (&json!("http"), &json!("bearer")));
}

#[tokio::test]
async fn every_operation_answers_as_documented() {
    let world = World::new().await;
    let document = document(&world).await;
    for operation in operations(&document) {
        let name = operation.name();
        let token = world.token(Role::Organization);
        let answer = operation.ask(&document).by(&token).to(&world).await;
        let status = answer.status.as_u16();
        let Some(documented) = operation.documents(status).filter(|_| status < 300) else {
            panic!("{name}: {answer:?}");
        };
        let called: Vec<_> = world.calls().into_iter().map(|call| call.method).collect();
        let agreed = AGREED.iter().find(|(its, _)| *its == name).unwrap().1;
        assert_eq!(called.join(" "), agreed, "{name}");
        let Some(content) = documented["content"].as_object() else {
            assert!(answer.body.is_empty(), "{name}: a body that is not documented");
            continue;
        };
        let (kind, content) = content.iter().next().unwrap();
        assert_eq!(answer.header("content-type"), kind, "{name}");
        if kind == "application/json" {
            let misfit = misfit(&document, &content["schema"], &answer.json(), "");
            assert_eq!(misfit, None, "{name}: {:?}", answer.json());
        }
    }
}

#[tokio::test]
async fn what_is_secured_is_refused_to_visitors_and_the_rest_is_not() {
    let world = World::new().await;
    let document = document(&world).await;
    for operation in operations(&document) {
        let answer = operation.ask(&document).to(&world).await;
        let name = operation.name();
        if operation.is_secured() {
            answer.refused(401, "UNAUTHENTICATED");
            assert_eq!(answer.header("www-authenticate"), "Bearer", "{name}");
            assert!(world.calls().is_empty(), "{name}");
        } else {
            assert!(answer.status.is_success(), "{name}: {answer:?}");
            world.calls();
        }
    }
}

#[tokio::test]
async fn methods_that_are_not_documented_are_not_there() {
    let world = World::new().await;
    let document = document(&world).await;
    let names: BTreeSet<_> = operations(&document).iter().map(Operation::name).collect();
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let token = world.token(Role::Admin);
    // Each route from an address of its own, for none of them to be limited.
    for (host, path) in document["paths"].as_object().unwrap().keys().enumerate() {
        for method in methods.iter().filter(|its| !names.contains(&format!("{its} {path}"))) {
            // `/tickets/validate` is also `/tickets/{ticket_id}`, as far as a router can see.
            if *method == Method::GET && path.starts_with("/api/v1/tickets/") {
                continue;
            }
            let concrete = path.replace(['{', '}'], "");
            let ask = Ask::new(method.clone(), &concrete).by(&token);
            let answer = ask.from(&format!("192.0.2.{host}")).to(&world).await;
            answer.refused(405, "METHOD_NOT_ALLOWED");
        }
    }
    assert!(world.calls().is_empty());
}

#[tokio::test]
async fn there_is_a_page_to_try_it_out() {
    let world = World::new().await;
    let answer = Ask::get("/api/docs").to(&world).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/api/docs/"));
    for (path, kind, word) in [
        ("/api/docs/", "text/html", "swagger-ui"),
        ("/api/docs/swagger-initializer.js", "javascript", "/api/docs/openapi.json"),
        ("/api/docs/swagger-ui-bundle.js", "javascript", "SwaggerUI"),
    ] {
        let answer = Ask::get(path).to(&world).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.header("content-type").contains(kind), "{path}: {answer:?}");
        assert!(String::from_utf8_lossy(&answer.body).contains(word), "{path}");
    }
}
