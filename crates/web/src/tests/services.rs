//! An event-service and an email-worker that hold what a test gave them, in a mesh of their own.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::Router;
use kernel::{Caller, Clock, Failure, Secret};
use testkit::ManualClock;
use tonic::{Request, Response, Status, service::Routes};
use wire::{
    Context, Mesh, MeshSettings,
    pb::{
        email_worker::v1::{
            GetMailRequest, ListMailsRequest, ListMailsResponse, Mail, MailStatus,
            RetryMailRequest,
            email_worker_service_server::{EmailWorkerService, EmailWorkerServiceServer},
        },
        event::v1::{
            self as pb,
            event_service_server::{EventService, EventServiceServer},
        },
        kernel::v1::Page,
    },
};

use crate::{Deps, pages};

/// What the clock shows: 2026-01-01T12:00:00Z.
pub(crate) const NOW_US: i64 = 1_767_268_800_000_000;
const HOUR_US: i64 = 3_600_000_000;

#[derive(Clone)]
pub(crate) struct World {
    mesh: Mesh,
    clock: Arc<dyn Clock>,
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    events: Vec<pb::Event>,
    mails: Vec<Mail>,
    failure: Option<Failure>,
    callers: Vec<Caller>,
}

/// Both services.
#[derive(Clone)]
struct Services(Arc<Mutex<Held>>);

/// An event on sale, 31 hours after [`NOW_US`], changed by `change`.
pub(crate) fn event(number: i64, name: &str, change: impl FnOnce(&mut pb::Event)) -> pb::Event {
    let category = |key: &str, name: &str, price_minor| pb::PriceCategory {
        key: key.to_owned(),
        name: name.to_owned(),
        price_minor,
    };
    let starts_at_us = NOW_US + 31 * HOUR_US;
    let mut event = pb::Event {
        event_id: format!("018f0000-0000-7000-8000-{number:012}"),
        name: name.to_owned(),
        description: "Shakespeare's last island, with live music.".to_owned(),
        kind: "theater".to_owned(),
        starts_at_us,
        ends_at_us: starts_at_us + 5 * HOUR_US / 2,
        sale_starts_at_us: NOW_US - HOUR_US,
        sale_ends_at_us: starts_at_us,
        currency: "EUR".to_owned(),
        categories: vec![category("stalls", "Stalls", 4_900), category("circle", "Circle", 1_900)],
        status: pb::EventStatus::OnSale.into(),
        venue_name: "Old Playhouse".to_owned(),
        venue_city: "Berlin".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        ..pb::Event::default()
    };
    change(&mut event);
    event
}

/// A mail with a PIN.
pub(crate) fn mail(number: i64) -> Mail {
    Mail {
        mail_id: format!("018f0000-0000-7000-8000-{number:012}"),
        to: "a+b@example.com".to_owned(),
        subject: "Your PIN".to_owned(),
        template: "verification".to_owned(),
        status: MailStatus::Sent.into(),
        html: "<!doctype html><p style=\"color:red\">Your PIN is <b>123456</b>".to_owned(),
        text: "Your PIN is 123456".to_owned(),
        attempts: 1,
        created_at_us: NOW_US - number * 60_000_000,
        sent_at_us: NOW_US - number * 60_000_000,
        ..Mail::default()
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let world = Self::without_services();
        let services = Services(world.held.clone());
        let events = Routes::new(EventServiceServer::new(services.clone()));
        let mails = Routes::new(EmailWorkerServiceServer::new(services));
        // The routers are for listeners; tests call inside the process.
        drop(world.mesh.fill("event", events).unwrap());
        drop(world.mesh.fill("email-worker", mails).unwrap());
        world
    }

    pub(crate) fn without_services() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
        let settings = MeshSettings {
            key: Secret::new(vec![7; 32]),
            calls: &[("gateway", &["event", "email-worker"])],
            remotes: BTreeMap::new(),
            tls: None,
            deadline: Duration::from_secs(5),
            clock: clock.clone(),
        };
        Self { mesh: Mesh::new(settings).unwrap(), clock, held: Arc::default() }
    }

    pub(crate) fn pages(&self, mailbox: bool) -> Router {
        let deps = Deps {
            event: self.mesh.wire("gateway", "event").unwrap(),
            email_worker: self.mesh.wire("gateway", "email-worker").unwrap(),
            realtime_url: "ws://127.0.0.1:3003/ws".to_owned(),
            mailbox,
            clock: self.clock.clone(),
        };
        pages(deps).unwrap()
    }

    pub(crate) fn events(&self, events: Vec<pb::Event>) {
        self.held.lock().unwrap().events = events;
    }

    pub(crate) fn mails(&self, mails: Vec<Mail>) {
        self.held.lock().unwrap().mails = mails;
    }

    /// From now on every call fails so.
    pub(crate) fn fail(&self, failure: Failure) {
        self.held.lock().unwrap().failure = Some(failure);
    }

    /// Who has asked so far.
    pub(crate) fn callers(&self) -> Vec<Caller> {
        self.held.lock().unwrap().callers.clone()
    }
}

impl Services {
    fn asked<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let mut held = self.0.lock().unwrap();
        held.callers.push(Context::of(request).caller);
        held.failure.clone().map_or(Ok(()), |failure| Err(wire::status(failure)))
    }
}

/// A page of `all`, whose cursors are positions with a sign that addresses have to encode.
fn page<T: Clone>(all: &[T], page: Option<Page>) -> (Vec<T>, String) {
    let Page { limit, cursor } = page.unwrap();
    let from = cursor.trim_start_matches('&').parse().unwrap_or(0);
    let page: Vec<_> = all.iter().skip(from).take(limit as usize).cloned().collect();
    let end = from + page.len();
    (page, if end < all.len() { format!("&{end}") } else { String::new() })
}

#[tonic::async_trait]
impl EmailWorkerService for Services {
    async fn list_mails(
        &self,
        request: Request<ListMailsRequest>,
    ) -> Result<Response<ListMailsResponse>, Status> {
        self.asked(&request)?;
        let ListMailsRequest { page: wanted, to } = request.into_inner();
        let held = self.0.lock().unwrap();
        let mut mails = held.mails.clone();
        // What a test has put into the filter to be shown is no filter.
        mails.retain(|mail| to.is_empty() || to.contains("script") || mail.to == to);
        let (mails, next_cursor) = page(&mails, wanted);
        Ok(Response::new(ListMailsResponse { mails, next_cursor }))
    }

    async fn get_mail(&self, request: Request<GetMailRequest>) -> Result<Response<Mail>, Status> {
        self.asked(&request)?;
        let held = self.0.lock().unwrap();
        let found = held.mails.iter().find(|mail| mail.mail_id == request.get_ref().mail_id);
        let found = found.ok_or_else(|| wire::status(Failure::not_found("mail")))?;
        Ok(Response::new(found.clone()))
    }

    async fn retry_mail(&self, _: Request<RetryMailRequest>) -> Result<Response<Mail>, Status> {
        Err(not_asked())
    }
}

#[tonic::async_trait]
impl EventService for Services {
    async fn list_events(
        &self,
        request: Request<pb::ListEventsRequest>,
    ) -> Result<Response<pb::ListEventsResponse>, Status> {
        self.asked(&request)?;
        let pb::ListEventsRequest { page: wanted, mine, .. } = request.into_inner();
        assert!(!mine, "what is public");
        let (events, next_cursor) = page(&self.0.lock().unwrap().events, wanted);
        Ok(Response::new(pb::ListEventsResponse { events, next_cursor }))
    }

    async fn create_venue(
        &self,
        _: Request<pb::CreateVenueRequest>,
    ) -> Result<Response<pb::Venue>, Status> {
        Err(not_asked())
    }

    async fn get_venue(
        &self,
        _: Request<pb::GetVenueRequest>,
    ) -> Result<Response<pb::Venue>, Status> {
        Err(not_asked())
    }

    async fn list_venues(
        &self,
        _: Request<pb::ListVenuesRequest>,
    ) -> Result<Response<pb::ListVenuesResponse>, Status> {
        Err(not_asked())
    }

    async fn create_event(
        &self,
        _: Request<pb::CreateEventRequest>,
    ) -> Result<Response<pb::Event>, Status> {
        Err(not_asked())
    }

    async fn update_event(
        &self,
        _: Request<pb::UpdateEventRequest>,
    ) -> Result<Response<pb::Event>, Status> {
        Err(not_asked())
    }

    async fn publish_event(
        &self,
        _: Request<pb::PublishEventRequest>,
    ) -> Result<Response<pb::Event>, Status> {
        Err(not_asked())
    }

    async fn get_event(
        &self,
        _: Request<pb::GetEventRequest>,
    ) -> Result<Response<pb::Event>, Status> {
        Err(not_asked())
    }

    async fn get_seating_plan(
        &self,
        _: Request<pb::GetSeatingPlanRequest>,
    ) -> Result<Response<pb::SeatingPlan>, Status> {
        Err(not_asked())
    }

    async fn quote(
        &self,
        _: Request<pb::QuoteRequest>,
    ) -> Result<Response<pb::QuoteResponse>, Status> {
        Err(not_asked())
    }
}

fn not_asked() -> Status {
    Status::unimplemented("no page asks for it")
}
