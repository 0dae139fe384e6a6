//! Accounts, tokens and profiles.

use kernel::Failure;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use wire::pb::{auth::v1 as pb, user::v1 as user};

use super::{at, some};

/// Opens an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Register {
    #[schema(example = "ada@example.org")]
    pub email: String,
    /// At least 8 characters with an upper-case letter, a lower-case letter and a digit.
    pub password: String,
    pub first_name: String,
    pub last_name: String,
    /// individual (also when left out) or organization.
    #[serde(default)]
    pub role: String,
    /// Required with role organization.
    #[serde(default)]
    pub organization_name: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Registered {
    pub account_id: String,
    /// Until when the PIN in the mail is good.
    #[schema(format = DateTime)]
    pub verification_expires_at: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerifyEmail {
    pub email: String,
    /// Six digits, from the mail.
    pub pin: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResendVerification {
    pub email: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    pub email: String,
    pub password: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refresh {
    pub refresh_token: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetRole {
    /// admin, organization or individual.
    pub role: String,
}

/// An access token, and a refresh token that is good for one refresh.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tokens {
    pub access_token: String,
    #[schema(format = DateTime)]
    pub access_expires_at: String,
    pub refresh_token: String,
    #[schema(format = DateTime)]
    pub refresh_expires_at: String,
    pub account: Account,
}

impl From<pb::TokenPair> for Tokens {
    fn from(pair: pb::TokenPair) -> Self {
        Self {
            access_token: pair.access_token,
            access_expires_at: at(pair.access_expires_at_us),
            refresh_token: pair.refresh_token,
            refresh_expires_at: at(pair.refresh_expires_at_us),
            account: pair.account.unwrap_or_default().into(),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Account {
    pub account_id: String,
    pub email: String,
    pub first_name: String,
    pub last_name: String,
    /// admin, organization or individual.
    pub role: String,
    pub verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization_name: Option<String>,
    #[schema(format = DateTime)]
    pub created_at: String,
}

impl From<pb::Account> for Account {
    fn from(account: pb::Account) -> Self {
        Self {
            account_id: account.account_id,
            email: account.email,
            first_name: account.first_name,
            last_name: account.last_name,
            role: account.role,
            verified: account.verified,
            organization_id: some(account.organization_id),
            organization_name: some(account.organization_name),
            created_at: at(account.created_at_us),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Profile {
    pub account_id: String,
    pub email: String,
    pub first_name: String,
    pub last_name: String,
    pub phone: String,
    /// YYYY-MM-DD.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_of_birth: Option<String>,
    #[schema(value_type = Object)]
    pub preferences: Value,
    pub version: i64,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(format = DateTime)]
    pub updated_at: String,
}

impl TryFrom<user::Profile> for Profile {
    type Error = Failure;

    fn try_from(profile: user::Profile) -> Result<Self, Failure> {
        Ok(Self {
            account_id: profile.account_id,
            email: profile.email,
            first_name: profile.first_name,
            last_name: profile.last_name,
            phone: profile.phone,
            date_of_birth: some(profile.date_of_birth),
            preferences: serde_json::from_str(&profile.preferences_json)
                .map_err(Failure::internal)?,
            version: profile.version,
            created_at: at(profile.created_at_us),
            updated_at: at(profile.updated_at_us),
        })
    }
}

/// Changes the fields that are given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EditProfile {
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub phone: Option<String>,
    /// YYYY-MM-DD; empty to clear.
    pub date_of_birth: Option<String>,
    /// Replaces all preferences.
    #[schema(value_type = Option<Object>)]
    pub preferences: Option<Value>,
}
