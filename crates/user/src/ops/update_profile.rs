//! Edits a profile, over the version that the editor has seen.

use kernel::{AccountId, Failure};
use serde_json::Value;
use wire::Context;

use crate::{
    app::App,
    domain::{Edit, Profile},
    error::Error,
    store,
};

/// The longest preferences, in bytes of JSON.
const MAX_PREFERENCES: usize = 16 * 1024;

/// What to change.
#[derive(Debug, Clone)]
pub(crate) struct UpdateProfile {
    pub account: AccountId,
    pub edit: Edit,
    /// JSON text; replaces all preferences.
    pub preferences: Option<String>,
    /// The version that the editor has seen; 0: whatever it is.
    pub version: i64,
}

pub(crate) async fn update_profile(
    app: &App,
    context: &Context,
    command: UpdateProfile,
) -> Result<(Profile, Value), Error> {
    let UpdateProfile { account, edit, preferences, version } = command;
    if !context.caller.may_act_for(account) {
        context.caller.account()?;
        return Err(Failure::not_found("profile").into());
    }
    let now = app.clock.now();
    let edit = edit.checked(now)?;
    let preferences = preferences.as_deref().map(object).transpose()?;
    app.db
        .write(move |tx| {
            let (edit, preferences) = (edit.clone(), preferences.clone());
            Box::pin(async move {
                let found = store::profile(tx, account).await?;
                let (current, old) = found.ok_or_else(|| Failure::not_found("profile"))?;
                if version != 0 && version != current.version {
                    return Err(Error::Stale { seen: version, current: current.version });
                }
                let seen = current.version;
                let edited = edit.apply(current, now);
                let preferences = preferences.unwrap_or(old);
                if !store::update_profile(tx, &edited, &preferences).await? {
                    return Err(Error::Stale { seen, current: seen + 1 });
                }
                Ok((edited, preferences))
            })
        })
        .await
}

fn object(text: &str) -> Result<Value, Failure> {
    if text.len() > MAX_PREFERENCES {
        return Err(Failure::invalid("preferences", format!("at most {MAX_PREFERENCES} bytes")));
    }
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) if !has_null_character(&value) => Ok(value),
        Ok(Value::Object(_)) => Err(Failure::invalid("preferences", "has a null character")),
        _ => Err(Failure::invalid("preferences", "must be a JSON object")),
    }
}

/// PostgreSQL's JSON keeps every text but this.
fn has_null_character(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_null_character),
        Value::Object(fields) => {
            fields.iter().any(|(name, value)| name.contains('\0') || has_null_character(value))
        }
        _ => false,
    }
}
