//! ticket-service's gRPC face, as far as holds need it: each event by its design.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use kernel::{Clock, Code, Failure as Refusal, SystemClock};
use redis::aio::ConnectionManager;
use tonic::{Request, Response, Status};
use uuid::Uuid;
use wire::pb::{
    event::v1::{SeatingPlan, SectionKind},
    kernel::v1::choice::Wish as Wanted,
    ticket::v1::{self as pb, ticket_service_server::TicketService},
};

use super::{
    Design, Next,
    lock::Locks,
    seats::{Decided, Places, Seats, Wish},
};
use crate::{Failure, house::Client};

/// All designs.
pub(super) struct StandIn {
    /// The shipped one, called as booking-service calls it, and as event-service does.
    shipped: (Client, Client),
    seats: Seats,
    locks: Locks,
    next: Next,
    events: RwLock<HashMap<String, Design>>,
}

type Answer<T> = Result<Response<T>, Status>;

/// The one category of the halls that are measured.
const CATEGORY: &str = "all";

fn none<T>() -> Answer<T> {
    Err(Status::unimplemented("only holds are measured here"))
}

/// What can't happen while the stand-in's servers are there.
fn broken(failure: impl std::fmt::Display) -> Status {
    Status::internal(failure.to_string())
}

impl StandIn {
    pub(super) fn new(
        shipped: (Client, Client),
        seats: Seats,
        redis: ConnectionManager,
        next: Next,
    ) -> Self {
        Self { shipped, seats, locks: Locks::new(redis), next, events: RwLock::default() }
    }

    fn design(&self, event: &str) -> Result<Design, Status> {
        let events = self.events.read().unwrap_or_else(PoisonError::into_inner);
        events.get(event).copied().ok_or_else(|| Status::not_found("event"))
    }

    /// Decides a wish by a design that is not the shipped one.
    async fn decide(&self, design: Design, wish: &Wish<'_>) -> Result<Decided, Failure> {
        let token = wish.hold.to_string();
        match design {
            Design::EventLock => {
                let name = format!("event:{}", wish.event);
                if !self.locks.lock(&name, &token).await? {
                    return Err("the lock of the event can't be had".into());
                }
                let decided = self.seats.hold(wish, false).await;
                self.locks.unlock(&name, &token).await?;
                decided
            }
            Design::SeatLocks => self.decide_by_seat(wish, &token).await,
            Design::Coalesced | Design::RowLocks => self.seats.hold(wish, true).await,
        }
    }

    async fn decide_by_seat(&self, wish: &Wish<'_>, token: &str) -> Result<Decided, Failure> {
        let name = |place: &str| format!("seat:{}:{place}", wish.event);
        let names: Vec<_> = match wish.places {
            Places::Seats(seats) => seats.iter().map(|seat| name(seat)).collect(),
            // There is no seat to lock: all of the section is one.
            Places::Admissions(section, _) => vec![name(section)],
        };
        let waits = matches!(wish.places, Places::Admissions(..));
        let mut locked = Vec::with_capacity(names.len());
        let mut decided = Ok(Decided::Held);
        for name in &names {
            let got = if waits {
                self.locks.lock(name, token).await?
            } else {
                self.locks.try_lock(name, token).await?
            };
            if !got {
                decided = Ok(Decided::SeatTaken);
                break;
            }
            locked.push(name);
        }
        if locked.len() == names.len() {
            decided = self.seats.hold(wish, false).await;
        }
        for name in locked {
            self.locks.unlock(name, token).await?;
        }
        decided
    }
}

#[tonic::async_trait]
impl TicketService for StandIn {
    async fn open_inventory(
        &self,
        request: Request<pb::OpenInventoryRequest>,
    ) -> Answer<pb::OpenInventoryResponse> {
        let request = request.into_inner();
        let next = *self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let id = request.event_id.clone();
        // A repeat is of the same design.
        let design = {
            let mut events = self.events.write().unwrap_or_else(PoisonError::into_inner);
            *events.entry(id).or_insert(next)
        };
        if design == Design::Coalesced {
            return self.shipped.1.clone().open_inventory(request).await;
        }
        let event = request.event_id.parse().map_err(broken)?;
        let (seats, sections) = places(&request.plan.unwrap_or_default());
        let admissions: i64 = sections.iter().map(|(_, capacity)| capacity).sum();
        let capacity = seats.len() as u64 + admissions.unsigned_abs();
        self.seats.add(event, seats, sections).await.map_err(broken)?;
        let capacity = u32::try_from(capacity).map_err(broken)?;
        Ok(Response::new(pb::OpenInventoryResponse { capacity }))
    }

    async fn get_availability(
        &self,
        request: Request<pb::GetAvailabilityRequest>,
    ) -> Answer<pb::Availability> {
        let request = request.into_inner();
        if self.design(&request.event_id)? == Design::Coalesced {
            return self.shipped.0.clone().get_availability(request).await;
        }
        // Nobody who is measured looks before asking.
        let event_id = request.event_id;
        Ok(Response::new(pb::Availability { event_id, sections: Vec::new(), version: 1 }))
    }

    async fn hold_seats(&self, request: Request<pb::HoldSeatsRequest>) -> Answer<pb::Hold> {
        let request = request.into_inner();
        let design = self.design(&request.event_id)?;
        if design == Design::Coalesced {
            return self.shipped.0.clone().hold_seats(request).await;
        }
        let ttl = Duration::from_secs(request.ttl_seconds.into());
        let wanted = request.choice.and_then(|choice| choice.wish);
        let id = |text: &str| text.parse::<Uuid>().map_err(broken);
        let wish = Wish {
            event: id(&request.event_id)?,
            hold: id(&request.hold_id)?,
            account: id(&request.account_id)?,
            ttl,
            places: match &wanted {
                Some(Wanted::Seats(chosen)) => Places::Seats(&chosen.seats),
                Some(Wanted::Admissions(wish)) => {
                    Places::Admissions(&wish.section, wish.quantity.into())
                }
                _ => return none(),
            },
        };
        match self.decide(design, &wish).await.map_err(broken)? {
            Decided::Held => Ok(Response::new(pb::Hold {
                places: held(wish.places),
                hold_id: request.hold_id,
                event_id: request.event_id,
                expires_at_us: SystemClock.now().plus(ttl).micros(),
            })),
            Decided::SeatTaken => Err(refused("SEAT_TAKEN")),
            Decided::SoldOut => Err(refused("SOLD_OUT")),
        }
    }

    async fn release_hold(
        &self,
        _: Request<pb::ReleaseHoldRequest>,
    ) -> Answer<pb::ReleaseHoldResponse> {
        none()
    }

    async fn issue_tickets(
        &self,
        _: Request<pb::IssueTicketsRequest>,
    ) -> Answer<pb::IssueTicketsResponse> {
        none()
    }

    async fn cancel_tickets(
        &self,
        _: Request<pb::CancelTicketsRequest>,
    ) -> Answer<pb::CancelTicketsResponse> {
        none()
    }

    async fn get_ticket(&self, _: Request<pb::GetTicketRequest>) -> Answer<pb::Ticket> {
        none()
    }

    async fn list_tickets(
        &self,
        _: Request<pb::ListTicketsRequest>,
    ) -> Answer<pb::ListTicketsResponse> {
        none()
    }

    async fn validate_ticket(
        &self,
        _: Request<pb::ValidateTicketRequest>,
    ) -> Answer<pb::ValidateTicketResponse> {
        none()
    }

    async fn use_ticket(&self, _: Request<pb::UseTicketRequest>) -> Answer<pb::Ticket> {
        none()
    }

    async fn get_signing_keys(
        &self,
        _: Request<pb::GetSigningKeysRequest>,
    ) -> Answer<pb::GetSigningKeysResponse> {
        none()
    }
}

fn refused(reason: &'static str) -> Status {
    wire::status(Refusal::new(Code::Conflict, reason, "the places are not free"))
}

/// The names of all seats of a plan, and its other sections with their capacity.
fn places(plan: &SeatingPlan) -> (Vec<String>, Vec<(String, i64)>) {
    let (mut seats, mut sections) = (Vec::new(), Vec::new());
    for section in &plan.sections {
        if section.kind() == SectionKind::Admission {
            sections.push((section.key.clone(), section.capacity.into()));
        }
        for row in &section.rows {
            let numbers = row.first_number..row.first_number + row.seats;
            seats.extend(numbers.map(|seat| format!("{}/{}/{seat}", section.key, row.name)));
        }
    }
    (seats, sections)
}

fn held(places: Places<'_>) -> Vec<pb::Place> {
    let place = |section: &str, seat: &str| pb::Place {
        section: section.to_owned(),
        seat: seat.to_owned(),
        category: CATEGORY.to_owned(),
        wheelchair: false,
    };
    match places {
        Places::Seats(seats) => seats
            .iter()
            .map(|seat| place(seat.split('/').next().unwrap_or_default(), seat))
            .collect(),
        Places::Admissions(section, quantity) => {
            (0..quantity).map(|_| place(section, "")).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use wire::pb::event::v1::{Row, Section};

    use super::*;

    #[test]
    fn a_plan_has_its_seats_by_name_and_its_counters_by_section() {
        let row = Row { name: "R1".to_owned(), first_number: 3, seats: 2, ..Row::default() };
        let block = Section {
            key: "block1".to_owned(),
            kind: SectionKind::Seated.into(),
            rows: vec![row],
            ..Section::default()
        };
        let floor = Section {
            key: "floor".to_owned(),
            kind: SectionKind::Admission.into(),
            capacity: 7,
            ..Section::default()
        };
        let (seats, sections) = places(&SeatingPlan { sections: vec![block, floor] });
        assert_eq!(seats, ["block1/R1/3", "block1/R1/4"]);
        assert_eq!(sections, [("floor".to_owned(), 7)]);
        let held = held(Places::Seats(&seats));
        assert_eq!((held[1].section.as_str(), held[1].seat.as_str()), ("block1", "block1/R1/4"));
        assert_eq!(super::held(Places::Admissions("floor", 3)).len(), 3);
    }
}
