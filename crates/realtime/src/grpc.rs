//! Wire in, verb, wire out.

use std::sync::Arc;

use kernel::Failure;
use tonic::{Request, Response, Status};
use wire::{
    Context,
    pb::realtime::v1::{self as pb, realtime_service_server::RealtimeService},
};

use crate::{
    app::App,
    domain::Room,
    ops::{self, Broadcast, SendToUser},
};

pub(crate) struct Api {
    pub app: Arc<App>,
}

fn refused(error: impl Into<Failure>) -> Status {
    wire::status(error.into())
}

#[tonic::async_trait]
impl RealtimeService for Api {
    async fn broadcast(
        &self,
        request: Request<pb::BroadcastRequest>,
    ) -> Result<Response<pb::BroadcastResponse>, Status> {
        let context = Context::of(&request);
        let pb::BroadcastRequest { room, r#type: kind, payload_json: payload } =
            request.into_inner();
        let Room::Event(event) = wire::id("room", &room).map_err(refused)? else {
            return Err(refused(Failure::invalid("room", "must be event:{id}")));
        };
        let command = Broadcast { event, kind, payload };
        let recipients = ops::broadcast(&self.app, &context, command).await.map_err(refused)?;
        let recipients = u32::try_from(recipients).unwrap_or(u32::MAX);
        Ok(Response::new(pb::BroadcastResponse { recipients }))
    }

    async fn send_to_user(
        &self,
        request: Request<pb::SendToUserRequest>,
    ) -> Result<Response<pb::SendToUserResponse>, Status> {
        let context = Context::of(&request);
        let pb::SendToUserRequest { account_id, r#type: kind, payload_json: payload } =
            request.into_inner();
        let account = wire::id("account_id", &account_id).map_err(refused)?;
        let command = SendToUser { account, kind, payload };
        let recipients = ops::send_to_user(&self.app, &context, command).await.map_err(refused)?;
        let recipients = u32::try_from(recipients).unwrap_or(u32::MAX);
        Ok(Response::new(pb::SendToUserResponse { recipients }))
    }

    async fn get_connection_stats(
        &self,
        request: Request<pb::GetConnectionStatsRequest>,
    ) -> Result<Response<pb::ConnectionStats>, Status> {
        let context = Context::of(&request);
        let stats = ops::get_connection_stats(&self.app, &context).map_err(refused)?;
        let count = |number: i64| u32::try_from(number).unwrap_or_default();
        Ok(Response::new(pb::ConnectionStats {
            total: count(stats.total),
            authenticated: count(stats.authenticated),
            anonymous: count(stats.anonymous),
            rooms: count(stats.rooms),
            sent: stats.sent,
            received: stats.received,
        }))
    }
}
