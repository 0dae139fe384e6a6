//! The services that booking calls, as far as their contracts go, with a memory that outlives the
//! caller's process.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
};

use kernel::{Caller, Clock as _, Code, Failure};
use testkit::ManualClock;
use tokio::sync::Notify;
use tonic::{Request, Response, Status};
use wire::pb::{
    event::v1 as event, kernel::v1::Money, payment::v1 as payment, ticket::v1 as ticket,
};

/// Methods that booking never calls, as async_trait would write them.
macro_rules! unasked {
    ($package:ident: $($name:ident($request:ident) -> $answer:ident),*) => {$(
        fn $name<'a, 'f>(
            &'a self,
            _: Request<$package::$request>,
        ) -> Pin<Box<dyn Future<Output = Result<Response<$package::$answer>, Status>> + Send + 'f>>
        where
            'a: 'f,
            Self: 'f,
        {
            Box::pin(async { panic!("booking asked for {}", stringify!($name)) })
        }
    )*};
}

/// How a call goes wrong.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Refused for good, without effect.
    Refuse(Code, &'static str),
    /// No effect, and none of the retries has any.
    Down,
    /// It takes effect, and the answer gets lost; so do those of the retries.
    LoseAnswers,
    /// It takes until somebody says so.
    Wait,
    /// The caller's process ends before the effect.
    DieBefore,
    /// The caller's process ends after the effect.
    DieAfter,
}

#[derive(Default)]
pub(crate) struct Memory {
    /// Every call, in order.
    pub(crate) calls: Vec<&'static str>,
    /// What goes wrong with each call of a verb, until it is taken out.
    pub(crate) faults: BTreeMap<&'static str, Fault>,
    /// What goes wrong with the call of this number.
    pub(crate) at_call: Option<(usize, Fault)>,
    pub(crate) sale: Sale,
    /// Places by hold id: expiry in µs, whether given back, whether sold.
    pub(crate) holds: BTreeMap<String, Hold>,
    /// Tickets by booking, and whether they were cancelled.
    pub(crate) tickets: BTreeMap<String, (Vec<ticket::Ticket>, bool)>,
    /// Bookings of which a ticket was used.
    pub(crate) used: BTreeSet<String>,
    /// Payments by booking.
    pub(crate) payments: BTreeMap<String, payment::Payment>,
    /// Refunds by key.
    pub(crate) refunds: BTreeMap<String, payment::Refund>,
    /// How often money was really taken.
    pub(crate) captures: u32,
}

#[derive(Clone)]
pub(crate) struct Sale {
    pub(crate) price: i64,
    pub(crate) capacity: usize,
    pub(crate) on_sale: bool,
    pub(crate) queue_mode: bool,
    pub(crate) max: u32,
    pub(crate) starts_at_us: i64,
}

impl Default for Sale {
    fn default() -> Self {
        let starts_at_us = 1_800_000_000_000_000;
        let (on_sale, queue_mode) = (true, false);
        Self { price: 2_500, capacity: 10, on_sale, queue_mode, max: 6, starts_at_us }
    }
}

#[derive(Clone, Default)]
pub(crate) struct Hold {
    pub(crate) event_id: String,
    pub(crate) account_id: String,
    pub(crate) places: Vec<ticket::Place>,
    pub(crate) expires_at_us: i64,
    pub(crate) released: bool,
    pub(crate) sold: bool,
}

/// The three services. Cheap to clone.
#[derive(Clone)]
pub(crate) struct World {
    memory: Arc<Mutex<Memory>>,
    clock: Arc<ManualClock>,
    /// Notified when a call has met its end, or waits.
    pub(crate) died: Arc<Notify>,
    /// Lets a call that waits go on.
    pub(crate) go: Arc<Notify>,
}

pub(crate) const ORGANIZATION: &str = "01900000-0000-7000-8000-00000000000a";

impl World {
    pub(crate) fn new(clock: Arc<ManualClock>) -> Self {
        Self { memory: Arc::default(), clock, died: Arc::default(), go: Arc::default() }
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap()
    }

    pub(crate) fn fail(&self, verb: &'static str, fault: Fault) {
        self.memory().faults.insert(verb, fault);
    }

    pub(crate) fn heal(&self) {
        let mut memory = self.memory();
        memory.faults.clear();
        memory.at_call = None;
    }

    pub(crate) fn count(&self, verb: &str) -> usize {
        self.memory().calls.iter().filter(|call| **call == verb).count()
    }

    /// Runs one call: its faults, its effect, its faults again.
    async fn call<M, T>(
        &self,
        verb: &'static str,
        request: Request<M>,
        effect: impl FnOnce(&mut Memory, M, i64) -> Result<T, Failure>,
    ) -> Result<Response<T>, Status> {
        let context = wire::Context::of(&request);
        assert!(context.caller.is_service("booking"), "{verb} by {:?}", context.caller);
        assert!(!matches!(context.caller, Caller::Anonymous));
        let fault = {
            let mut memory = self.memory();
            let number = memory.calls.len();
            memory.calls.push(verb);
            let at = memory.at_call.clone().filter(|(at, _)| *at == number).map(|(_, f)| f);
            at.or_else(|| memory.faults.get(verb).cloned())
        };
        match &fault {
            Some(Fault::Refuse(code, reason)) => {
                return Err(wire::status(Failure::new(*code, reason, "made to fail")));
            }
            Some(Fault::Down) => return Err(wire::status(Failure::unavailable("down"))),
            Some(Fault::DieBefore) => return self.die().await,
            Some(Fault::Wait) => {
                self.died.notify_one();
                self.go.notified().await;
            }
            _ => {}
        }
        let now = self.clock.now().micros();
        let result = effect(&mut self.memory(), request.into_inner(), now);
        match fault {
            Some(Fault::LoseAnswers) => Err(wire::status(Failure::unavailable("answer lost"))),
            Some(Fault::DieAfter) => self.die().await,
            _ => result.map(Response::new).map_err(wire::status),
        }
    }

    async fn die<T>(&self) -> T {
        self.died.notify_one();
        std::future::pending().await
    }
}

impl Memory {
    fn taken(&self, now: i64) -> usize {
        let live = |hold: &&Hold| hold.sold || (!hold.released && hold.expires_at_us > now);
        self.holds.values().filter(live).map(|hold| hold.places.len()).sum()
    }

    fn payment(&mut self, id: &str) -> Result<&mut payment::Payment, Failure> {
        let found = self.payments.values_mut().find(|payment| payment.payment_id == id);
        found.ok_or_else(|| Failure::not_found("payment"))
    }
}

fn conflict(reason: &'static str) -> Failure {
    Failure::new(Code::Conflict, reason, "refused")
}

#[tonic::async_trait]
impl event::event_service_server::EventService for World {
    async fn quote(
        &self,
        request: Request<event::QuoteRequest>,
    ) -> Result<Response<event::QuoteResponse>, Status> {
        self.call("Quote", request, |memory, _, _| {
            let sale = memory.sale.clone();
            let price = event::quote_response::Price {
                category: "standing".to_owned(),
                category_name: "STANDING".to_owned(),
                unit_price_minor: sale.price,
            };
            Ok(event::QuoteResponse {
                currency: "EUR".to_owned(),
                prices: vec![price],
                event_name: "Hamlet".to_owned(),
                organization_id: ORGANIZATION.to_owned(),
                queue_mode: sale.queue_mode,
                max_per_booking: sale.max,
                sale_starts_at_us: 0,
                sale_ends_at_us: sale.starts_at_us,
                starts_at_us: sale.starts_at_us,
                venue_name: "Globe".to_owned(),
                time_zone: "Europe/London".to_owned(),
                on_sale: sale.on_sale,
            })
        })
        .await
    }

    unasked! {
        event: create_venue(CreateVenueRequest) -> Venue, get_venue(GetVenueRequest) -> Venue,
        list_venues(ListVenuesRequest) -> ListVenuesResponse,
        create_event(CreateEventRequest) -> Event, update_event(UpdateEventRequest) -> Event,
        publish_event(PublishEventRequest) -> Event, get_event(GetEventRequest) -> Event,
        list_events(ListEventsRequest) -> ListEventsResponse,
        get_seating_plan(GetSeatingPlanRequest) -> SeatingPlan
    }
}

#[tonic::async_trait]
impl ticket::ticket_service_server::TicketService for World {
    async fn hold_seats(
        &self,
        request: Request<ticket::HoldSeatsRequest>,
    ) -> Result<Response<ticket::Hold>, Status> {
        self.call("HoldSeats", request, |memory, request, now| {
            let answer = |hold: &Hold| ticket::Hold {
                hold_id: request.hold_id.clone(),
                event_id: request.event_id.clone(),
                places: hold.places.clone(),
                expires_at_us: hold.expires_at_us,
            };
            if let Some(hold) = memory.holds.get(&request.hold_id) {
                return match hold {
                    _ if hold.account_id != request.account_id => Err(conflict("HOLD_MISMATCH")),
                    _ if hold.released => Err(conflict("HOLD_LOST")),
                    hold => Ok(answer(hold)),
                };
            }
            let wanted = wire::choice(request.choice.as_ref())?.quantity() as usize;
            if memory.taken(now) + wanted > memory.sale.capacity {
                return Err(conflict("SOLD_OUT").with("available", memory.sale.capacity));
            }
            let place = |_| ticket::Place {
                section: "floor".to_owned(),
                seat: String::new(),
                category: "standing".to_owned(),
                wheelchair: false,
            };
            let hold = Hold {
                event_id: request.event_id.clone(),
                account_id: request.account_id.clone(),
                places: (0..wanted).map(place).collect(),
                expires_at_us: now + i64::from(request.ttl_seconds) * 1_000_000,
                released: false,
                sold: false,
            };
            let answer = answer(&hold);
            memory.holds.insert(request.hold_id.clone(), hold);
            Ok(answer)
        })
        .await
    }

    async fn release_hold(
        &self,
        request: Request<ticket::ReleaseHoldRequest>,
    ) -> Result<Response<ticket::ReleaseHoldResponse>, Status> {
        self.call("ReleaseHold", request, |memory, request, _| {
            let account = request.account_id;
            let hold = memory.holds.get_mut(&request.hold_id);
            match hold.filter(|hold| account.is_empty() || hold.account_id == account) {
                Some(hold) if hold.sold => Err(conflict("HOLD_SOLD")),
                Some(hold) => {
                    let released = !std::mem::replace(&mut hold.released, true);
                    let event_id = hold.event_id.clone();
                    Ok(ticket::ReleaseHoldResponse { released, event_id })
                }
                None => Ok(ticket::ReleaseHoldResponse::default()),
            }
        })
        .await
    }

    async fn issue_tickets(
        &self,
        request: Request<ticket::IssueTicketsRequest>,
    ) -> Result<Response<ticket::IssueTicketsResponse>, Status> {
        self.call("IssueTickets", request, |memory, request, now| {
            if let Some((tickets, cancelled)) = memory.tickets.get(&request.booking_id) {
                assert!(!cancelled, "tickets asked for again after they were cancelled");
                return Ok(ticket::IssueTicketsResponse { tickets: tickets.clone() });
            }
            let (taken, capacity) = (memory.taken(now), memory.sale.capacity);
            let hold = memory.holds.get_mut(&request.hold_id);
            let hold = hold.ok_or_else(|| conflict("HOLD_LOST"))?;
            let lapsed = hold.expires_at_us <= now;
            if hold.released || (lapsed && taken + hold.places.len() > capacity) {
                return Err(conflict("HOLD_LOST"));
            }
            hold.sold = true;
            let price = request.prices[0].unit_price_minor;
            let price = Some(Money { minor: price, currency: request.currency.clone() });
            let tickets = hold.places.iter().enumerate().map(|(at, place)| ticket::Ticket {
                ticket_id: format!("{}-{at}", request.booking_id),
                booking_id: request.booking_id.clone(),
                place: Some(place.clone()),
                price: price.clone(),
                status: ticket::TicketStatus::Issued.into(),
                code: format!("code-{at}"),
                ..ticket::Ticket::default()
            });
            let tickets: Vec<_> = tickets.collect();
            memory.tickets.insert(request.booking_id, (tickets.clone(), false));
            Ok(ticket::IssueTicketsResponse { tickets })
        })
        .await
    }

    async fn cancel_tickets(
        &self,
        request: Request<ticket::CancelTicketsRequest>,
    ) -> Result<Response<ticket::CancelTicketsResponse>, Status> {
        self.call("CancelTickets", request, |memory, request, _| {
            if memory.used.contains(&request.booking_id) {
                return Err(conflict("TICKET_USED"));
            }
            let Some((tickets, cancelled)) = memory.tickets.get_mut(&request.booking_id) else {
                return Ok(ticket::CancelTicketsResponse { cancelled: 0 });
            };
            *cancelled = true;
            let cancelled = u32::try_from(tickets.len()).unwrap();
            let hold = memory.holds.get_mut(&request.booking_id).unwrap();
            (hold.sold, hold.released) = (false, true);
            Ok(ticket::CancelTicketsResponse { cancelled })
        })
        .await
    }

    unasked! {
        ticket: open_inventory(OpenInventoryRequest) -> OpenInventoryResponse,
        get_availability(GetAvailabilityRequest) -> Availability,
        get_ticket(GetTicketRequest) -> Ticket,
        list_tickets(ListTicketsRequest) -> ListTicketsResponse,
        validate_ticket(ValidateTicketRequest) -> ValidateTicketResponse,
        use_ticket(UseTicketRequest) -> Ticket,
        get_signing_keys(GetSigningKeysRequest) -> GetSigningKeysResponse
    }
}

#[tonic::async_trait]
impl payment::payment_service_server::PaymentService for World {
    async fn create_intent(
        &self,
        request: Request<payment::CreateIntentRequest>,
    ) -> Result<Response<payment::Payment>, Status> {
        self.call("CreateIntent", request, |memory, request, _| {
            let number = memory.payments.len() + 1;
            let made = memory.payments.entry(request.booking_id.clone());
            let payment = made.or_insert_with(|| payment::Payment {
                payment_id: request.booking_id.clone(),
                booking_id: request.booking_id,
                account_id: request.account_id,
                amount: request.amount,
                state: payment::PaymentState::RequiresPayment.into(),
                client_secret: format!("secret-{number}"),
                ..payment::Payment::default()
            });
            Ok(payment.clone())
        })
        .await
    }

    async fn get_payment(
        &self,
        request: Request<payment::GetPaymentRequest>,
    ) -> Result<Response<payment::Payment>, Status> {
        self.call("GetPayment", request, |memory, request, _| {
            memory.payment(&request.payment_id).cloned()
        })
        .await
    }

    async fn capture_payment(
        &self,
        request: Request<payment::CapturePaymentRequest>,
    ) -> Result<Response<payment::Payment>, Status> {
        self.call("CapturePayment", request, |memory, request, _| {
            let payment = memory.payment(&request.payment_id)?;
            match payment.state() {
                payment::PaymentState::Captured => Ok(payment.clone()),
                payment::PaymentState::Authorized => {
                    payment.set_state(payment::PaymentState::Captured);
                    payment.captured_minor = payment.amount.as_ref().unwrap().minor;
                    let payment = payment.clone();
                    memory.captures += 1;
                    Ok(payment)
                }
                _ => Err(conflict("PAYMENT_NOT_AUTHORIZED")),
            }
        })
        .await
    }

    async fn cancel_payment(
        &self,
        request: Request<payment::CancelPaymentRequest>,
    ) -> Result<Response<payment::Payment>, Status> {
        use payment::PaymentState as State;
        self.call("CancelPayment", request, |memory, request, _| {
            let payment = memory.payment(&request.payment_id)?;
            match payment.state() {
                State::Captured | State::PartiallyRefunded | State::Refunded => {
                    Err(conflict("PAYMENT_CAPTURED"))
                }
                State::Failed => Err(conflict("PAYMENT_FAILED")),
                _ => {
                    payment.set_state(State::Cancelled);
                    Ok(payment.clone())
                }
            }
        })
        .await
    }

    async fn refund_payment(
        &self,
        request: Request<payment::RefundPaymentRequest>,
    ) -> Result<Response<payment::Refund>, Status> {
        self.call("RefundPayment", request, |memory, request, _| {
            if let Some(refund) = memory.refunds.get(&request.idempotency_key) {
                return Ok(refund.clone());
            }
            let payment = memory.payment(&request.payment_id)?;
            assert!(payment.refunded_minor + request.amount_minor <= payment.captured_minor);
            payment.refunded_minor += request.amount_minor;
            payment.set_state(payment::PaymentState::Refunded);
            let refund = payment::Refund {
                refund_id: "01900000-0000-7000-a000-000000000001".to_owned(),
                payment_id: request.payment_id,
                state: payment::RefundState::Pending.into(),
                ..payment::Refund::default()
            };
            memory.refunds.insert(request.idempotency_key, refund.clone());
            Ok(refund)
        })
        .await
    }

    unasked! {
        payment: list_payments(ListPaymentsRequest) -> ListPaymentsResponse,
        process_webhook(ProcessWebhookRequest) -> ProcessWebhookResponse
    }
}
