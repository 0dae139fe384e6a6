//! Wire in, verb, wire out; no decisions.

use std::sync::Arc;

use kernel::Failure;
use tonic::{Request, Response, Status};
use wire::{
    Context,
    pb::booking_worker::v1::{
        self as pb, PlaceStatus, booking_worker_service_server::BookingWorkerService,
    },
};

use crate::{
    app::App,
    domain::{Outcome, Standing},
    error::Error,
    ops::{self, JoinQueue, PlaceSeen},
};

/// The gRPC face.
pub(crate) struct Api {
    pub(crate) app: Arc<App>,
}

fn refused(error: impl Into<Failure>) -> Status {
    wire::status(error.into())
}

#[tonic::async_trait]
impl BookingWorkerService for Api {
    async fn join_queue(
        &self,
        request: Request<pb::JoinQueueRequest>,
    ) -> Result<Response<pb::Place>, Status> {
        let context = Context::of(&request);
        let command = join(request.get_ref()).map_err(refused)?;
        let app = self.app.clone();
        let work = async move { ops::join_queue(&app, &context, command).await };
        let place: Result<PlaceSeen, Error> = self.app.tasks.finish(work).await;
        Ok(Response::new(to_place(place.map_err(refused)?)))
    }

    async fn get_place(
        &self,
        request: Request<pb::GetPlaceRequest>,
    ) -> Result<Response<pb::Place>, Status> {
        let event = wire::id("event_id", &request.get_ref().event_id).map_err(refused)?;
        let place = ops::get_place(&self.app, &Context::of(&request), event).await;
        Ok(Response::new(to_place(place.map_err(refused)?)))
    }

    async fn leave_queue(
        &self,
        request: Request<pb::LeaveQueueRequest>,
    ) -> Result<Response<pb::LeaveQueueResponse>, Status> {
        let context = Context::of(&request);
        let event = wire::id("event_id", &request.get_ref().event_id).map_err(refused)?;
        let app = self.app.clone();
        let work = async move { ops::leave_queue(&app, &context, event).await };
        let left = self.app.tasks.finish(work).await.map_err(refused)?;
        Ok(Response::new(pb::LeaveQueueResponse { left }))
    }

    async fn get_queue(
        &self,
        request: Request<pb::GetQueueRequest>,
    ) -> Result<Response<pb::Queue>, Status> {
        let event = wire::id("event_id", &request.get_ref().event_id).map_err(refused)?;
        let queue = ops::get_queue(&self.app, event).await.map_err(refused)?;
        Ok(Response::new(pb::Queue {
            event_id: event.to_string(),
            waiting: queue.head.waiting,
            serving: queue.head.serving,
            last_number: queue.head.last,
            admissions_per_minute: queue.admissions_per_minute,
        }))
    }
}

fn join(request: &pb::JoinQueueRequest) -> Result<JoinQueue, Failure> {
    let event = wire::id("event_id", &request.event_id)?;
    let wish = request.wish.as_ref().map(|wish| wire::choice(Some(wish))).transpose()?;
    Ok(JoinQueue { event, wish })
}

fn to_place(seen: PlaceSeen) -> pb::Place {
    let mut place = pb::Place {
        event_id: seen.event.to_string(),
        account_id: seen.account.to_string(),
        number: seen.place.number,
        serving: seen.serving,
        position: seen.position,
        estimated_wait_seconds: u32::try_from(seen.wait_seconds).unwrap_or(u32::MAX),
        admission_token: seen.admission_token.unwrap_or_default(),
        reason: seen.paused.unwrap_or_default().to_owned(),
        joined_at_us: seen.place.joined_at.micros(),
        ..pb::Place::default()
    };
    let status = match seen.place.standing {
        Standing::Waiting => PlaceStatus::Waiting,
        Standing::Processing => PlaceStatus::Processing,
        Standing::Served(Outcome::Admitted { expires_at }) => {
            place.admission_expires_at_us = expires_at.micros();
            PlaceStatus::Admitted
        }
        Standing::Served(Outcome::Completed { booking }) => {
            place.booking_id = booking.to_string();
            PlaceStatus::Completed
        }
        Standing::Served(Outcome::Failed { reason }) => {
            place.reason = reason;
            PlaceStatus::Failed
        }
        Standing::Served(Outcome::Expired { reason }) => {
            place.reason = reason;
            PlaceStatus::Expired
        }
    };
    place.set_status(status);
    place
}
