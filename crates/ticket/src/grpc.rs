//! The gRPC face: wire in, verb, wire out. Decides nothing.

use std::{collections::HashMap, sync::Arc};

use kernel::{Failure, SeatRef, Timestamp};
use tonic::{Request, Response, Status};
use wire::{
    Context,
    pb::{
        event::v1::{SeatingPlan, SectionKind},
        ticket::v1::{self as pb, ticket_service_server::TicketService},
    },
};

use crate::{
    app::App,
    domain::{
        plan::{Kind, Plan, Row, Section},
        ticket::{Ticket, TicketStatus},
    },
    error::Error,
    ops::{self, hold_seats::Held},
};

/// The gRPC face.
pub(crate) struct Api {
    pub(crate) app: Arc<App>,
}

type Answer<T> = Result<Response<T>, Status>;

fn answer<T>(result: Result<T, Error>) -> Answer<T> {
    result.map(Response::new).map_err(|error| wire::status(error.into()))
}

#[tonic::async_trait]
impl TicketService for Api {
    async fn open_inventory(
        &self,
        request: Request<pb::OpenInventoryRequest>,
    ) -> Answer<pb::OpenInventoryResponse> {
        let context = Context::of(&request);
        let command = open_inventory(request.get_ref()).map_err(wire::status)?;
        let app = self.app.clone();
        let opened = self
            .app
            .tasks
            .finish(async move { ops::open_inventory(&app, &context, command).await });
        answer(opened.await.map(|capacity| pb::OpenInventoryResponse { capacity }))
    }

    async fn get_availability(
        &self,
        request: Request<pb::GetAvailabilityRequest>,
    ) -> Answer<pb::Availability> {
        let request = request.get_ref();
        let event_id = wire::id("event_id", &request.event_id).map_err(wire::status)?;
        let found = ops::get_availability(&self.app, event_id, !request.counts_only).await;
        answer(found.map(|found| availability(&found)))
    }

    async fn hold_seats(&self, request: Request<pb::HoldSeatsRequest>) -> Answer<pb::Hold> {
        let context = Context::of(&request);
        let command = hold_seats(request.get_ref()).map_err(wire::status)?;
        let app = self.app.clone();
        let held =
            self.app.tasks.finish(async move { ops::hold_seats(&app, &context, command).await });
        answer(held.await.map(|held| hold(&held)))
    }

    async fn release_hold(
        &self,
        request: Request<pb::ReleaseHoldRequest>,
    ) -> Answer<pb::ReleaseHoldResponse> {
        let context = Context::of(&request);
        let command = release_hold(request.into_inner()).map_err(wire::status)?;
        let app = self.app.clone();
        let released =
            self.app.tasks.finish(async move { ops::release_hold(&app, &context, command).await });
        answer(released.await.map(|of| pb::ReleaseHoldResponse {
            released: of.is_some(),
            event_id: of.map(|event_id| event_id.to_string()).unwrap_or_default(),
        }))
    }

    async fn issue_tickets(
        &self,
        request: Request<pb::IssueTicketsRequest>,
    ) -> Answer<pb::IssueTicketsResponse> {
        let context = Context::of(&request);
        let command = issue_tickets(request.into_inner()).map_err(wire::status)?;
        let app = self.app.clone();
        let issued =
            self.app.tasks.finish(async move { ops::issue_tickets(&app, &context, command).await });
        let tickets = |issued: Vec<Ticket>| issued.iter().map(with_code).collect();
        answer(issued.await.map(|issued| pb::IssueTicketsResponse { tickets: tickets(issued) }))
    }

    async fn cancel_tickets(
        &self,
        request: Request<pb::CancelTicketsRequest>,
    ) -> Answer<pb::CancelTicketsResponse> {
        let context = Context::of(&request);
        let request = request.into_inner();
        let booking_id = wire::id("booking_id", &request.booking_id).map_err(wire::status)?;
        let command = ops::CancelTickets { booking_id, reason: request.reason };
        let app = self.app.clone();
        let cancelled = self
            .app
            .tasks
            .finish(async move { ops::cancel_tickets(&app, &context, command).await });
        answer(cancelled.await.map(|cancelled| pb::CancelTicketsResponse { cancelled }))
    }

    async fn get_ticket(&self, request: Request<pb::GetTicketRequest>) -> Answer<pb::Ticket> {
        let context = Context::of(&request);
        let ticket_id =
            wire::id("ticket_id", &request.get_ref().ticket_id).map_err(wire::status)?;
        let found = ops::get_ticket(&self.app, &context, ticket_id).await;
        answer(found.map(|ticket| with_code(&ticket)))
    }

    async fn list_tickets(
        &self,
        request: Request<pb::ListTicketsRequest>,
    ) -> Answer<pb::ListTicketsResponse> {
        let context = Context::of(&request);
        let command = list_tickets(request.get_ref()).map_err(wire::status)?;
        let found = ops::list_tickets(&self.app, &context, command).await;
        answer(found.map(|(tickets, next_cursor)| pb::ListTicketsResponse {
            tickets: tickets.iter().map(with_code).collect(),
            next_cursor,
        }))
    }

    async fn validate_ticket(
        &self,
        request: Request<pb::ValidateTicketRequest>,
    ) -> Answer<pb::ValidateTicketResponse> {
        let context = Context::of(&request);
        let request = request.into_inner();
        let event_id = wire::id("event_id", &request.event_id).map_err(wire::status)?;
        let command = ops::ValidateTicket { code: request.code, event_id };
        let found = ops::validate_ticket(&self.app, &context, command).await;
        answer(found.map(|found| pb::ValidateTicketResponse {
            valid: found.refusal.is_none(),
            reason: found.refusal.map(|refusal| refusal.reason().to_owned()).unwrap_or_default(),
            ticket: found.ticket.as_ref().map(at_the_door),
        }))
    }

    async fn use_ticket(&self, request: Request<pb::UseTicketRequest>) -> Answer<pb::Ticket> {
        let context = Context::of(&request);
        let request = request.into_inner();
        let event_id = wire::id("event_id", &request.event_id).map_err(wire::status)?;
        let command = ops::UseTicket { code: request.code, event_id, gate: request.gate };
        let app = self.app.clone();
        let used =
            self.app.tasks.finish(async move { ops::use_ticket(&app, &context, command).await });
        answer(used.await.map(|ticket| at_the_door(&ticket)))
    }

    async fn get_signing_keys(
        &self,
        _: Request<pb::GetSigningKeysRequest>,
    ) -> Answer<pb::GetSigningKeysResponse> {
        use pb::get_signing_keys_response::SigningKey;
        let key = |(key_id, public_key)| SigningKey { key_id, public_key };
        let keys = ops::get_signing_keys(&self.app).await;
        answer(
            keys.map(|keys| pb::GetSigningKeysResponse {
                keys: keys.into_iter().map(key).collect(),
            }),
        )
    }
}

fn open_inventory(request: &pb::OpenInventoryRequest) -> Result<ops::OpenInventory, Failure> {
    let plan = request.plan.as_ref().ok_or_else(|| Failure::invalid("plan", "is required"))?;
    Ok(ops::OpenInventory {
        event_id: wire::id("event_id", &request.event_id)?,
        organization_id: wire::id("organization_id", &request.organization_id)?,
        plan: seating_plan(plan)?,
        max_per_hold: request.max_per_hold,
        ends_at: Timestamp::from_micros(request.ends_at_us),
    })
}

fn seating_plan(plan: &SeatingPlan) -> Result<Plan, Failure> {
    let mut sections = Vec::with_capacity(plan.sections.len());
    for (at, section) in plan.sections.iter().enumerate() {
        let kind = match section.kind() {
            SectionKind::Seated => Kind::Seated,
            SectionKind::Admission => Kind::Admission,
            SectionKind::Unspecified => {
                let field = format!("plan.sections[{at}].kind");
                return Err(Failure::invalid(field, "seated or admission"));
            }
        };
        let row = |row: &wire::pb::event::v1::Row| {
            let mut wheelchair = row.wheelchair.clone();
            wheelchair.sort_unstable();
            Row {
                name: row.name.clone(),
                first_number: row.first_number,
                seats: row.seats,
                category: (!row.category.is_empty()).then(|| row.category.clone()),
                wheelchair,
            }
        };
        let rows: Vec<Row> = section.rows.iter().map(row).collect();
        let seats = rows.iter().fold(0_u32, |sum, row| sum.saturating_add(row.seats));
        // A seated section's capacity may be left out.
        let counted = kind == Kind::Seated && section.capacity == 0;
        sections.push(Section {
            key: section.key.clone(),
            kind,
            category: section.category.clone(),
            capacity: if counted { seats } else { section.capacity },
            rows,
        });
    }
    Plan::new(sections)
}

fn release_hold(request: pb::ReleaseHoldRequest) -> Result<ops::ReleaseHold, Failure> {
    let account_id = match request.account_id.as_str() {
        "" => None,
        id => Some(wire::id("account_id", id)?),
    };
    let hold_id = wire::id("hold_id", &request.hold_id)?;
    Ok(ops::ReleaseHold { hold_id, reason: request.reason, account_id })
}

fn hold_seats(request: &pb::HoldSeatsRequest) -> Result<ops::HoldSeats, Failure> {
    Ok(ops::HoldSeats {
        hold_id: wire::id("hold_id", &request.hold_id)?,
        event_id: wire::id("event_id", &request.event_id)?,
        account_id: wire::id("account_id", &request.account_id)?,
        choice: wire::choice(request.choice.as_ref())?,
        ttl_seconds: request.ttl_seconds,
    })
}

fn issue_tickets(request: pb::IssueTicketsRequest) -> Result<ops::IssueTickets, Failure> {
    let count = request.prices.len();
    let prices: HashMap<String, i64> =
        request.prices.into_iter().map(|price| (price.category, price.unit_price_minor)).collect();
    if prices.len() != count {
        return Err(Failure::invalid("prices", "a category is there twice"));
    }
    Ok(ops::IssueTickets {
        hold_id: wire::id("hold_id", &request.hold_id)?,
        booking_id: wire::id("booking_id", &request.booking_id)?,
        booking_reference: request.booking_reference,
        account_id: wire::id("account_id", &request.account_id)?,
        prices,
        currency: wire::id("currency", &request.currency)?,
    })
}

fn list_tickets(request: &pb::ListTicketsRequest) -> Result<ops::ListTickets, Failure> {
    let booking_id = match request.booking_id.as_str() {
        "" => None,
        id => Some(wire::id("booking_id", id)?),
    };
    Ok(ops::ListTickets { page: wire::page(request.page.as_ref())?, booking_id })
}

fn hold(held: &Held) -> pb::Hold {
    pb::Hold {
        hold_id: held.hold.hold_id.to_string(),
        event_id: held.hold.event_id.to_string(),
        places: held.places.iter().map(wire::to_place).collect(),
        expires_at_us: held.hold.expires_at.micros(),
    }
}

fn availability(found: &ops::Availability) -> pb::Availability {
    use pb::availability::SectionAvailability;
    let count = |count: i64| u32::try_from(count).unwrap_or(0);
    let mut sections: Vec<SectionAvailability> = found
        .counters
        .sections
        .iter()
        .map(|counts| SectionAvailability {
            section: counts.section.clone(),
            capacity: count(counts.capacity),
            held: count(counts.held),
            sold: count(counts.sold),
            ..Default::default()
        })
        .collect();
    if let Some(seats) = &found.seats {
        for section in &mut sections {
            let of = |seats: &[SeatRef]| {
                let here = seats.iter().filter(|seat| seat.section() == section.section);
                here.map(ToString::to_string).collect()
            };
            (section.held_seats, section.sold_seats) = (of(&seats.held), of(&seats.sold));
        }
    }
    let version = found.counters.tally.version;
    pb::Availability { event_id: found.event_id.to_string(), sections, version }
}

/// A ticket for its holder.
fn with_code(ticket: &Ticket) -> pb::Ticket {
    pb::Ticket { code: ticket.code.clone(), ..at_the_door(ticket) }
}

/// A ticket for those who let it in: without its code.
fn at_the_door(ticket: &Ticket) -> pb::Ticket {
    let status = match ticket.status {
        TicketStatus::Issued => pb::TicketStatus::Issued,
        TicketStatus::Used => pb::TicketStatus::Used,
        TicketStatus::Cancelled => pb::TicketStatus::Cancelled,
        TicketStatus::Refunded => pb::TicketStatus::Refunded,
        TicketStatus::Transferred => pb::TicketStatus::Transferred,
    };
    let (used_at_us, used_gate) =
        ticket.used.as_ref().map_or((0, String::new()), |(at, gate)| (at.micros(), gate.clone()));
    pb::Ticket {
        ticket_id: ticket.ticket_id.to_string(),
        number: ticket.number.clone(),
        event_id: ticket.event_id.to_string(),
        booking_id: ticket.booking_id.to_string(),
        account_id: ticket.account_id.to_string(),
        place: Some(wire::to_place(&ticket.place)),
        price: Some(wire::to_money(ticket.price)),
        status: status.into(),
        code: String::new(),
        issued_at_us: ticket.issued_at.micros(),
        used_at_us,
        used_gate,
    }
}
