//! Wire in, verb, wire out; no decisions.

mod parse;

use std::sync::Arc;

use kernel::Failure;
use tonic::{Request, Response, Status, async_trait};
use wire::{
    Context, id, page,
    pb::event::v1::{self as pb, event_service_server::EventService},
};

use crate::{
    app::App,
    domain::{Category, Venue},
    error::Error,
    events::{to_event, to_plan},
    ops::{self, ListEvents, Quote},
};

/// The gRPC face.
pub(crate) struct Api {
    pub(crate) app: Arc<App>,
}

impl Api {
    /// Runs a verb that writes to its end, also when the caller leaves.
    async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Status> {
        self.app.tasks.finish(work).await.map_err(refused)
    }
}

#[async_trait]
impl EventService for Api {
    async fn create_venue(
        &self,
        request: Request<pb::CreateVenueRequest>,
    ) -> Result<Response<pb::Venue>, Status> {
        let context = Context::of(&request);
        let command = parse::create_venue(request.into_inner()).map_err(refused)?;
        let app = Arc::clone(&self.app);
        let work = async move { ops::create_venue(&app, &context, command).await };
        Ok(Response::new(to_venue(&self.finish(work).await?)))
    }

    async fn get_venue(
        &self,
        request: Request<pb::GetVenueRequest>,
    ) -> Result<Response<pb::Venue>, Status> {
        let venue = id("venue_id", &request.get_ref().venue_id).map_err(refused)?;
        let venue = ops::get_venue(&self.app, &Context::of(&request), venue).await;
        Ok(Response::new(to_venue(&venue.map_err(refused)?)))
    }

    async fn list_venues(
        &self,
        request: Request<pb::ListVenuesRequest>,
    ) -> Result<Response<pb::ListVenuesResponse>, Status> {
        let page = page(request.get_ref().page.as_ref()).map_err(refused)?;
        let listed = ops::list_venues(&self.app, &Context::of(&request), &page).await;
        let (venues, next_cursor) = listed.map_err(refused)?;
        let venues = venues.iter().map(to_venue).collect();
        Ok(Response::new(pb::ListVenuesResponse { venues, next_cursor }))
    }

    async fn create_event(
        &self,
        request: Request<pb::CreateEventRequest>,
    ) -> Result<Response<pb::Event>, Status> {
        let context = Context::of(&request);
        let command = parse::create_event(request.into_inner()).map_err(refused)?;
        let app = Arc::clone(&self.app);
        let work = async move { ops::create_event(&app, &context, command).await };
        Ok(Response::new(to_event(&self.finish(work).await?)))
    }

    async fn update_event(
        &self,
        request: Request<pb::UpdateEventRequest>,
    ) -> Result<Response<pb::Event>, Status> {
        let context = Context::of(&request);
        let command = parse::update_event(request.into_inner()).map_err(refused)?;
        let app = Arc::clone(&self.app);
        let work = async move { ops::update_event(&app, &context, command).await };
        Ok(Response::new(to_event(&self.finish(work).await?)))
    }

    async fn publish_event(
        &self,
        request: Request<pb::PublishEventRequest>,
    ) -> Result<Response<pb::Event>, Status> {
        let context = Context::of(&request);
        let event = id("event_id", &request.get_ref().event_id).map_err(refused)?;
        let app = Arc::clone(&self.app);
        let work = async move { ops::publish_event(&app, &context, event).await };
        Ok(Response::new(to_event(&self.finish(work).await?)))
    }

    async fn get_event(
        &self,
        request: Request<pb::GetEventRequest>,
    ) -> Result<Response<pb::Event>, Status> {
        let event = id("event_id", &request.get_ref().event_id).map_err(refused)?;
        let event = ops::get_event(&self.app, &Context::of(&request), event).await;
        Ok(Response::new(to_event(&*event.map_err(refused)?)))
    }

    async fn list_events(
        &self,
        request: Request<pb::ListEventsRequest>,
    ) -> Result<Response<pb::ListEventsResponse>, Status> {
        let context = Context::of(&request);
        let request = request.into_inner();
        let page = page(request.page.as_ref()).map_err(refused)?;
        let command = ListEvents { page, mine: request.mine, query: request.query };
        let listed = ops::list_events(&self.app, &context, &command).await;
        let (events, next_cursor) = listed.map_err(refused)?;
        let events = events.iter().map(to_event).collect();
        Ok(Response::new(pb::ListEventsResponse { events, next_cursor }))
    }

    async fn get_seating_plan(
        &self,
        request: Request<pb::GetSeatingPlanRequest>,
    ) -> Result<Response<pb::SeatingPlan>, Status> {
        let event = id("event_id", &request.get_ref().event_id).map_err(refused)?;
        let plan = ops::get_seating_plan(&self.app, &Context::of(&request), event).await;
        Ok(Response::new(to_plan(&*plan.map_err(refused)?)))
    }

    async fn quote(
        &self,
        request: Request<pb::QuoteRequest>,
    ) -> Result<Response<pb::QuoteResponse>, Status> {
        let event = id("event_id", &request.into_inner().event_id).map_err(refused)?;
        let quote = ops::quote(&self.app, event).await.map_err(refused)?;
        Ok(Response::new(to_quote(&quote)))
    }
}

fn refused(error: impl Into<Failure>) -> Status {
    wire::status(error.into())
}

fn to_venue(venue: &Venue) -> pb::Venue {
    pb::Venue {
        venue_id: venue.id.to_string(),
        organization_id: venue.organization.to_string(),
        name: venue.name.clone(),
        address: venue.address.clone(),
        city: venue.city.clone(),
        country: venue.country.clone(),
        time_zone: venue.time_zone.clone(),
        plan: venue.plan.as_ref().map(to_plan),
        capacity: venue.capacity,
        created_at_us: venue.created_at.micros(),
    }
}

fn to_quote(quote: &Quote) -> pb::QuoteResponse {
    let price = |category: &Category| pb::quote_response::Price {
        category: category.key.clone(),
        category_name: category.name.clone(),
        unit_price_minor: category.price_minor,
    };
    let event = &quote.event;
    let terms = &event.terms;
    pb::QuoteResponse {
        currency: terms.currency.to_string(),
        prices: terms.categories.iter().map(price).collect(),
        event_name: terms.name.clone(),
        organization_id: event.organization.to_string(),
        queue_mode: terms.queue.enabled,
        max_per_booking: terms.max_per_booking,
        sale_starts_at_us: terms.sale_starts_at.map_or(0, kernel::Timestamp::micros),
        sale_ends_at_us: terms.sale_end().micros(),
        starts_at_us: terms.starts_at.micros(),
        venue_name: event.venue_name.clone(),
        time_zone: event.time_zone.clone(),
        on_sale: quote.on_sale,
    }
}
