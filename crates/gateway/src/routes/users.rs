//! Profiles.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use platform::http::{Json, Problem};
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::pb::user::v1::{self as pb, client::UserServiceClient};

use super::{refused, tagged};
use crate::{
    app::App,
    caller::{IfMatch, SignedIn},
    shapes::account::{EditProfile, Profile},
};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(my_profile, edit_profile))
}

/// One's own profile.
#[utoipa::path(
    get, path = "/api/v1/users/me/profile", tag = "users", security(("bearer" = [])),
    responses((status = 200, body = Profile), (status = 401), (status = 404))
)]
async fn my_profile(
    State(app): State<Arc<App>>,
    SignedIn(context, account): SignedIn,
) -> Result<Response, Problem> {
    let request = pb::GetProfileRequest { account_id: account.to_string() };
    let mut client = UserServiceClient::new(app.user.with(&context));
    answer(client.get_profile(request).await.map_err(refused)?.into_inner())
}

/// Changes one's own profile.
#[utoipa::path(
    patch, path = "/api/v1/users/me/profile", tag = "users", security(("bearer" = [])),
    params(("If-Match" = Option<String>, Header, description = "ETag that was read")),
    request_body = EditProfile,
    responses((status = 200, body = Profile), (status = 401), (status = 412), (status = 422))
)]
async fn edit_profile(
    State(app): State<Arc<App>>,
    SignedIn(context, account): SignedIn,
    IfMatch(version): IfMatch,
    Json(edit): Json<EditProfile>,
) -> Result<Response, Problem> {
    let request = pb::UpdateProfileRequest {
        account_id: account.to_string(),
        first_name: edit.first_name,
        last_name: edit.last_name,
        phone: edit.phone,
        date_of_birth: edit.date_of_birth,
        preferences_json: edit.preferences.map(|preferences| preferences.to_string()),
        version,
    };
    let mut client = UserServiceClient::new(app.user.with(&context));
    answer(client.update_profile(request).await.map_err(refused)?.into_inner())
}

fn answer(profile: pb::Profile) -> Result<Response, Problem> {
    let version = profile.version;
    Ok(tagged(version, Json(Profile::try_from(profile)?)))
}
