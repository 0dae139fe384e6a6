//! Client secrets are struck out of whatever is kept: who has one can pay in the buyer's place.

use serde_json::Value;

/// The field that holds a secret, as it stands in JSON.
const FIELD: &str = "\"client_secret\"";
/// What stands in a secret's place.
const STRUCK: &str = "[redacted]";

/// The same JSON with every client secret struck out.
pub(crate) fn without_secrets(json: &str) -> String {
    strike_text(json).unwrap_or_else(|| {
        let mut value: Value = serde_json::from_str(json).unwrap_or_default();
        strike(&mut value);
        value.to_string()
    })
}

/// Strikes secrets out without reading the rest; none where it is not plain to see what is a
/// secret. Inside of strings JSON escapes quotes, so that the field's name is found only as a name.
fn strike_text(json: &str) -> Option<String> {
    if json.contains("\\u") {
        return None; // A name may be written so, too.
    }
    let mut struck = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find(FIELD) {
        let (before, after) = rest.split_at_checked(at + FIELD.len())?;
        let value = after.trim_ascii_start().strip_prefix(':')?.trim_ascii_start();
        let mut escaped = false;
        let end = value.strip_prefix('"')?.find(|character| {
            let ends = character == '"' && !escaped;
            escaped = character == '\\' && !escaped;
            ends
        })?;
        struck.push_str(before);
        struck.extend([":\"", STRUCK, "\""]);
        // Both quotes.
        rest = value.get(end + 2..)?;
    }
    struck.push_str(rest);
    Some(struck)
}

fn strike(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "client_secret" {
                    *value = STRUCK.into();
                } else {
                    strike(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(strike),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn client_secrets_never_reach_the_log() {
        let seen = json!({ "a": [{ "client_secret": "s", "id": "pi_1" }], "client_secret": "s" });
        let text = without_secrets(&seen.to_string());
        assert!(!text.contains("\"s\"") && text.contains("pi_1"));
        for hidden in [
            r#"{"client\u005fsecret":"hush","id":"pi_1"}"#,
            r#"{"client_secret":{"of":"hush"},"id":"pi_1"}"#,
            r#"{"client_secret" : "hush\"hush\\","id":"pi_1"}"#,
        ] {
            let text = without_secrets(hidden);
            let kept: Value = serde_json::from_str(&text).unwrap();
            assert!(!text.contains("hush"), "{text}");
            assert_eq!(kept, json!({ "client_secret": STRUCK, "id": "pi_1" }));
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let word = prop_oneof![
            Just("client_secret".to_owned()),
            Just("\"client_secret\": \"x\"".to_owned()),
            "[a-z\"\\\\:, \u{1}ä]{0,6}",
        ];
        let leaf = prop_oneof![
            word.clone().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            Just(Value::Null),
        ];
        leaf.prop_recursive(4, 32, 5, move |inner| {
            let fields = prop::collection::btree_map(word.clone(), inner.clone(), 0..5);
            prop_oneof![
                prop::collection::vec(inner, 0..5).prop_map(Value::from),
                fields.prop_map(|fields| fields.into_iter().collect::<Value>()),
            ]
        })
    }

    proptest! {
        #[test]
        fn striking_text_leaves_what_striking_values_leaves(json in any_json(), pretty: bool) {
            let text =
                if pretty { format!("{json:#}") } else { json.to_string() };
            let mut expected = json;
            strike(&mut expected);
            let struck: Value = serde_json::from_str(&without_secrets(&text)).unwrap();
            prop_assert_eq!(struck, expected);
        }
    }
}
