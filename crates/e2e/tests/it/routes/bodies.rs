//! Bodies that can't be right: of another kind, broken, with fields missing, unknown or of the
//! wrong type. They are refused by the name of the field.

use serde_json::{Value, json};

use super::{
    stage::Stage,
    table::{Route, routes},
};

/// The routes with a body.
fn with_body(stage: &Stage) -> Vec<Route> {
    let all = routes(stage).into_iter();
    all.filter(|route| !route.body.is_null()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_json_is_not_read() {
    let stage = Stage::set().await;
    no_json(&stage).await;
    stage.end().await;
}

pub(super) async fn no_json(stage: &Stage) {
    let before = stage.picture().await;
    for route in with_body(stage) {
        let path = stage.filled(route.path);
        let whole = route.body.to_string();
        let long = format!("{whole}{}", " ".repeat(1 << 20));
        let broken = [
            ("", 400),
            ("{", 400),
            (&whole[..whole.len() - 1], 400),
            (&format!("{whole}{{}}"), 400),
            (&whole.replace(':', "="), 400),
            ("NaN", 400),
            ("\u{feff}{}", 400),
            ("null", 422),
            ("true", 422),
            ("7", 422),
            ("\"text\"", 422),
            (&long, 413),
        ];
        for (body, status) in broken {
            let mut ask = route.ask(&path, &route.body);
            ask.body = Some(body.as_bytes().to_vec());
            stage.send(route.by, ask).await.expect(status);
        }
        let mut ask = route.ask(&path, &route.body);
        ask.body.as_mut().unwrap().insert(1, 0xff);
        stage.send(route.by, ask).await.expect(400);
        for kind in ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
            let mut ask = route.ask(&path, &route.body);
            ask.headers.retain(|(name, _)| *name != "content-type");
            let ask = if kind.is_empty() { ask } else { ask.header("content-type", kind) };
            assert_eq!(
                stage.send(route.by, ask).await.expect(415)["code"],
                "UNSUPPORTED_MEDIA_TYPE"
            );
        }
    }
    stage.unchanged_since(&before).await;
}

/// Pointers of all values within `value`, and of itself.
pub(super) fn pointers(value: &Value) -> Vec<String> {
    let mut all = vec![String::new()];
    let below = |key: &str, child: &Value| {
        pointers(child).into_iter().map(|rest| format!("/{key}{rest}")).collect::<Vec<_>>()
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, its)| all.extend(below(key, its))),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, its)| all.extend(below(&at.to_string(), its)));
        }
        _ => {}
    }
    all
}

/// The schema behind references.
fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(reference) => resolved(document, document.pointer(&reference[1..]).unwrap()),
        None => schema,
    }
}

/// What the document says of the value at `pointer` of a body: its schema, and whether its parent
/// can't do without it.
fn documented<'d>(document: &'d Value, body: &'d Value, pointer: &str) -> (&'d Value, bool) {
    let (mut schema, mut required) = (resolved(document, body), true);
    for key in pointer.split('/').skip(1) {
        for several in ["oneOf", "anyOf"] {
            let options = schema.get(several).and_then(Value::as_array).into_iter().flatten();
            let mut options = options.map(|its| resolved(document, its));
            if let Some(found) = options.find(|its| its["properties"].get(key).is_some()) {
                schema = found;
            }
        }
        let names = schema["required"].as_array().into_iter().flatten();
        required = names.into_iter().any(|name| name == key);
        let next = if key.parse::<usize>().is_ok() {
            required = false;
            &schema["items"]
        } else {
            &schema["properties"][key]
        };
        schema = resolved(document, next);
    }
    (schema, required)
}

/// The value without what is at `pointer`, which is in an object.
fn without(body: &Value, pointer: &str) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let mut body = body.clone();
    body.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key);
    body
}

fn with(body: &Value, pointer: &str, value: Value) -> Value {
    let mut body = body.clone();
    *body.pointer_mut(pointer).unwrap() = value;
    body
}

/// `/plan/sections/0/key` as a problem names it: `plan.sections[0].key`.
fn field(pointer: &str) -> String {
    let mut name = String::new();
    for key in pointer.split('/').skip(1) {
        match key.parse::<usize>() {
            Ok(at) => name.push_str(&format!("[{at}]")),
            Err(_) if name.is_empty() => name.push_str(key),
            Err(_) => name.push_str(&format!(".{key}")),
        }
    }
    name
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_are_missing_unknown_or_of_the_wrong_type_are_named() {
    let stage = Stage::set().await;
    wrong_fields(&stage).await;
    stage.end().await;
}

pub(super) async fn wrong_fields(stage: &Stage) {
    let before = stage.picture().await;
    for route in with_body(stage) {
        let schema = &route.documented(&stage.document)["requestBody"]["content"];
        let schema = &schema["application/json"]["schema"];
        let path = stage.filled(route.path);
        let refused = async |body: Value, pointer: &str| {
            let answer = stage.send(route.by, route.ask(&path, &body)).await;
            let (asked, problem) = (answer.asked.clone(), answer.expect(422));
            let named = problem["errors"][0]["field"].as_str().unwrap();
            // Of a choice, what is wrong may be told of the whole.
            let fits = if pointer.is_empty() {
                named == "body"
            } else {
                field(pointer).starts_with(named)
            };
            assert!(fits, "{asked}: {pointer} {problem}");
        };
        for pointer in pointers(&route.body) {
            let value = route.body.pointer(&pointer).unwrap();
            let (said, required) = documented(&stage.document, schema, &pointer);
            let free = said["type"] == "object" && said.get("properties").is_none();
            if pointer.contains("/preferences") {
                continue;
            }
            if value.is_object() && !free {
                let mut more = value.clone();
                more["no_such_field"] = json!(1);
                refused(with(&route.body, &pointer, more), &format!("{pointer}/no_such_field"))
                    .await;
            }
            let wrong = match value {
                Value::String(_) => vec![json!(7), json!(true), json!({}), json!(["x"])],
                Value::Number(_) => {
                    vec![json!("7"), json!(1.5), json!(1e300), json!(false), json!([])]
                }
                Value::Bool(_) => vec![json!("true"), json!(1), json!({})],
                Value::Array(_) => vec![json!("x"), json!({}), json!(1)],
                _ if pointer.is_empty() => vec![json!("x"), json!(1), json!([])],
                _ => vec![json!("x"), json!(1), json!(true)],
            };
            for other in wrong {
                refused(with(&route.body, &pointer, other), &pointer).await;
            }
            let in_object = !pointer.is_empty()
                && pointer.rsplit('/').next().unwrap().parse::<usize>().is_err();
            if required && in_object {
                refused(without(&route.body, &pointer), &pointer).await;
                refused(with(&route.body, &pointer, Value::Null), &pointer).await;
            }
        }
    }
    stage.unchanged_since(&before).await;
}
