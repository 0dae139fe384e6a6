//! A ticket-service that opens inventories, or refuses, or takes its time.

use std::sync::{Mutex, atomic::AtomicBool, atomic::Ordering};

use tokio::sync::Notify;
use tonic::{Request, Response, Status, async_trait};
use wire::{
    Context,
    pb::ticket::v1::{self as pb, ticket_service_server::TicketService},
};

#[derive(Default)]
pub(super) struct FakeTicket {
    /// What was asked of it, and by whom.
    pub(super) opened: Mutex<Vec<(pb::OpenInventoryRequest, kernel::Caller)>>,
    /// What it answers instead.
    pub(super) refusal: Mutex<Option<Status>>,
    /// Whether it waits for `go`, having told `entered`.
    pub(super) waits: AtomicBool,
    pub(super) entered: Notify,
    pub(super) go: Notify,
}

impl FakeTicket {
    pub(super) fn ids(&self) -> Vec<String> {
        let opened = self.opened.lock().unwrap();
        opened.iter().map(|(request, _)| request.event_id.clone()).collect()
    }
}

macro_rules! ticket_service {
    ($($name:ident: $request:ident -> $response:ident,)*) => {
        #[async_trait]
        impl TicketService for FakeTicket {
            async fn open_inventory(
                &self,
                request: Request<pb::OpenInventoryRequest>,
            ) -> Result<Response<pb::OpenInventoryResponse>, Status> {
                let caller = Context::of(&request).caller;
                if self.waits.load(Ordering::SeqCst) {
                    self.entered.notify_one();
                    self.go.notified().await;
                }
                let refusal = self.refusal.lock().unwrap().clone();
                self.opened.lock().unwrap().push((request.into_inner(), caller));
                match refusal {
                    Some(status) => Err(status),
                    None => Ok(Response::new(pb::OpenInventoryResponse { capacity: 120 })),
                }
            }

            $(async fn $name(
                &self,
                _: Request<pb::$request>,
            ) -> Result<Response<pb::$response>, Status> {
                Err(Status::unimplemented("event-service has no business here"))
            })*
        }
    };
}

ticket_service! {
    get_availability: GetAvailabilityRequest -> Availability,
    hold_seats: HoldSeatsRequest -> Hold,
    release_hold: ReleaseHoldRequest -> ReleaseHoldResponse,
    issue_tickets: IssueTicketsRequest -> IssueTicketsResponse,
    cancel_tickets: CancelTicketsRequest -> CancelTicketsResponse,
    get_ticket: GetTicketRequest -> Ticket,
    list_tickets: ListTicketsRequest -> ListTicketsResponse,
    validate_ticket: ValidateTicketRequest -> ValidateTicketResponse,
    use_ticket: UseTicketRequest -> Ticket,
    get_signing_keys: GetSigningKeysRequest -> GetSigningKeysResponse,
}
