//! Wire in, verb, wire out.

use std::sync::Arc;

use kernel::Failure;
use serde_json::Value;
use tonic::{Request, Response, Status};
use wire::{
    Context,
    pb::user::v1::{self as pb, user_service_server::UserService},
};

use crate::{
    app::App,
    domain::{Edit, Profile},
    error::Error,
    ops::{self, UpdateProfile},
};

pub(crate) struct Api {
    pub app: Arc<App>,
}

fn refused(error: impl Into<Failure>) -> Status {
    wire::status(error.into())
}

#[tonic::async_trait]
impl UserService for Api {
    async fn get_profile(
        &self,
        request: Request<pb::GetProfileRequest>,
    ) -> Result<Response<pb::Profile>, Status> {
        let context = Context::of(&request);
        let account = wire::id("account_id", &request.get_ref().account_id).map_err(refused)?;
        let profile = ops::get_profile(&self.app, &context, account).await;
        profile.map(to_wire).map_err(refused)
    }

    async fn update_profile(
        &self,
        request: Request<pb::UpdateProfileRequest>,
    ) -> Result<Response<pb::Profile>, Status> {
        let context = Context::of(&request);
        let wanted = request.into_inner();
        let command = UpdateProfile {
            account: wire::id("account_id", &wanted.account_id).map_err(refused)?,
            edit: Edit {
                first_name: wanted.first_name,
                last_name: wanted.last_name,
                phone: wanted.phone,
                date_of_birth: wanted.date_of_birth,
            },
            preferences: wanted.preferences_json,
            version: wanted.version,
        };
        let app = self.app.clone();
        let work = async move { ops::update_profile(&app, &context, command).await };
        let edited: Result<_, Error> = self.app.tasks.finish(work).await;
        edited.map(to_wire).map_err(refused)
    }
}

fn to_wire((profile, preferences): (Profile, Value)) -> Response<pb::Profile> {
    Response::new(pb::Profile {
        account_id: profile.account_id.to_string(),
        email: profile.email,
        first_name: profile.first_name,
        last_name: profile.last_name,
        phone: profile.phone,
        date_of_birth: profile.date_of_birth,
        preferences_json: preferences.to_string(),
        version: profile.version,
        created_at_us: profile.created_at.micros(),
        updated_at_us: profile.updated_at.micros(),
    })
}
