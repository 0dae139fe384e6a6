//! The gRPC face, over the mesh: the whole way of a ticket, and wrong input on every rpc.

use wire::{
    Mesh, MeshSettings,
    pb::{
        event::v1::{Row as PbRow, SeatingPlan, Section as PbSection, SectionKind},
        kernel::v1::{self as kernel_pb, choice},
        ticket::v1::{self as pb, client::TicketServiceClient},
    },
};

use super::*;

type Client = TicketServiceClient;

struct Stage {
    mesh: Mesh,
    clock: Arc<ManualClock>,
    _files: [TestDb; 2],
}

impl Stage {
    async fn new() -> Self {
        let db = testkit::sqlite(&[&platform::MIGRATIONS, &ticket::MIGRATIONS]).await;
        let bus = testkit::sqlite(&[]).await;
        let clock = Arc::new(ManualClock::default());
        let deps = Deps {
            db: db.db.clone(),
            clock: clock.clone(),
            ids: Arc::new(SeededIds::new(1)),
            bus: Bus::memory(bus.db.clone(), Tasks::new()).await.unwrap(),
            secret: Secret::new(vec![1; 32]),
        };
        let unit = ticket::build(config(), deps).await.unwrap();
        let mesh = Mesh::new(MeshSettings {
            key: Secret::new(vec![2; 32]),
            calls: &[("booking", &["ticket"]), ("event", &["ticket"]), ("gateway", &["ticket"])],
            remotes: std::collections::BTreeMap::new(),
            tls: None,
            deadline: Duration::from_secs(30),
            clock: clock.clone(),
        })
        .unwrap();
        let _router = mesh.fill("ticket", unit.grpc.unwrap()).unwrap();
        for (name, probe) in unit.probes {
            probe().await.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        Self { mesh, clock, _files: [db, bus] }
    }

    fn client(&self, from: &str) -> Client {
        Client::new(self.mesh.wire(from, "ticket").unwrap())
    }

    fn client_of(&self, context: &Context) -> Client {
        Client::new(self.mesh.wire("gateway", "ticket").unwrap().with(context))
    }
}

fn refused<T: std::fmt::Debug>(answer: Result<tonic::Response<T>, tonic::Status>) -> String {
    wire::failure(&answer.unwrap_err()).reason.into_owned()
}

fn hall() -> SeatingPlan {
    let row = PbRow { name: "A".into(), first_number: 1, seats: 4, ..Default::default() };
    let seated = PbSection {
        key: "hall".into(),
        name: "Hall".into(),
        kind: SectionKind::Seated.into(),
        category: "normal".into(),
        capacity: 0,
        rows: vec![row],
    };
    SeatingPlan { sections: vec![seated] }
}

fn choose(seats: &[&str]) -> Option<kernel_pb::Choice> {
    let seats = seats.iter().map(|seat| (*seat).to_owned()).collect();
    Some(kernel_pb::Choice { wish: Some(choice::Wish::Seats(choice::Seats { seats })) })
}

#[tokio::test]
async fn the_whole_way_of_a_ticket_goes_over_the_wire() {
    let stage = Stage::new().await;
    let (event_id, account_id) = (EVENT.to_string(), BUYER.to_string());
    let open = pb::OpenInventoryRequest {
        event_id: event_id.clone(),
        organization_id: ORGANIZATION.to_string(),
        plan: Some(hall()),
        max_per_hold: 4,
        ends_at_us: stage.clock.now().plus(Duration::from_secs(86_400)).micros(),
    };
    let opened = stage.client("event").open_inventory(open).await.unwrap().into_inner();
    assert_eq!(opened.capacity, 4);

    let mut booking = stage.client("booking");
    let hold_id = Uuid::from_u128(1).to_string();
    let wish = pb::HoldSeatsRequest {
        hold_id: hold_id.clone(),
        event_id: event_id.clone(),
        account_id: account_id.clone(),
        choice: choose(&["hall/A/2", "hall/A/3"]),
        ttl_seconds: 60,
    };
    let held = booking.hold_seats(wish.clone()).await.unwrap().into_inner();
    assert_eq!(held.places[1].seat, "hall/A/3");
    let rival = pb::HoldSeatsRequest {
        hold_id: Uuid::from_u128(2).to_string(),
        choice: choose(&["hall/A/3"]),
        ..wish
    };
    let taken = wire::failure(&booking.hold_seats(rival).await.unwrap_err());
    assert_eq!((taken.reason.as_ref(), taken.code), ("SEAT_TAKEN", kernel::Code::Conflict));
    assert_eq!(taken.metadata["seats"], "hall/A/3");

    let price = pb::issue_tickets_request::CategoryPrice {
        category: "normal".into(),
        unit_price_minor: 1_000,
    };
    let issue = pb::IssueTicketsRequest {
        hold_id: hold_id.clone(),
        booking_id: hold_id.clone(),
        booking_reference: "BKG1".into(),
        account_id,
        prices: vec![price.clone()],
        currency: "EUR".into(),
    };
    let issued = booking.issue_tickets(issue.clone()).await.unwrap().into_inner().tickets;
    assert_eq!(issued.len(), 2);
    let twice = pb::IssueTicketsRequest { prices: vec![price.clone(), price], ..issue };
    assert_eq!(refused(booking.issue_tickets(twice).await), "INVALID_ARGUMENT");

    let asked = pb::GetAvailabilityRequest { event_id: event_id.clone(), counts_only: false };
    let mut visitor = stage.client_of(&Context::new(Caller::Anonymous, ""));
    let free = visitor.get_availability(asked).await.unwrap().into_inner();
    assert_eq!((free.sections[0].sold, free.sections[0].sold_seats.len()), (2, 2));

    let mut door = stage.client_of(&staff());
    let code = issued[0].code.clone();
    let check = pb::ValidateTicketRequest { code: code.clone(), event_id: event_id.clone() };
    let valid = door.validate_ticket(check.clone()).await.unwrap().into_inner();
    assert!(valid.valid && valid.ticket.unwrap().code.is_empty(), "the door sees no codes");
    let enter = pb::UseTicketRequest { code, event_id, gate: "1".into() };
    let used = door.use_ticket(enter.clone()).await.unwrap().into_inner();
    assert_eq!((used.status(), used.used_gate.as_str()), (pb::TicketStatus::Used, "1"));
    assert_eq!(refused(door.use_ticket(enter).await), "TICKET_ALREADY_USED");
    let valid = door.validate_ticket(check).await.unwrap().into_inner();
    assert_eq!((valid.valid, valid.reason.as_str()), (false, "TICKET_ALREADY_USED"));

    shows_them_to_the_buyer(&stage, &issued[0]).await;
    let cancel = pb::CancelTicketsRequest { booking_id: hold_id, reason: String::new() };
    assert_eq!(refused(booking.cancel_tickets(cancel).await), "TICKET_USED");
}

async fn shows_them_to_the_buyer(stage: &Stage, issued: &pb::Ticket) {
    let mut buyer = stage.client_of(&account(BUYER, Role::Individual, None));
    let listed = buyer.list_tickets(pb::ListTicketsRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.tickets.len(), 2);
    let ticket_id = issued.ticket_id.clone();
    let shown = buyer.get_ticket(pb::GetTicketRequest { ticket_id }).await.unwrap().into_inner();
    assert_eq!(shown.code, issued.code);
    let keys = buyer.get_signing_keys(pb::GetSigningKeysRequest {}).await.unwrap().into_inner();
    let keys: Vec<_> = keys.keys.into_iter().map(|key| (key.key_id, key.public_key)).collect();
    assert!(ticket::code::verify(&shown.code, &keys).is_ok());
}

#[tokio::test]
async fn wrong_input_on_every_rpc_is_named_and_changes_nothing() {
    let stage = Stage::new().await;
    let mut client = stage.client("booking");
    let id = || Uuid::from_u128(1).to_string();
    let invalid = "INVALID_ARGUMENT";
    assert_eq!(refused(client.open_inventory(pb::OpenInventoryRequest::default()).await), invalid);
    let open = |plan| pb::OpenInventoryRequest {
        event_id: id(),
        organization_id: id(),
        plan,
        max_per_hold: 1,
        ends_at_us: 1,
    };
    let mut unspecified = hall();
    unspecified.sections[0].kind = 0;
    let mut negative = open(Some(hall()));
    negative.ends_at_us = -1;
    for wrong in [open(None), open(Some(SeatingPlan::default())), open(Some(unspecified)), negative]
    {
        assert_eq!(refused(client.open_inventory(wrong).await), invalid);
    }
    let hold = |hold_id: &str, choice| pb::HoldSeatsRequest {
        hold_id: hold_id.to_owned(),
        event_id: id(),
        account_id: id(),
        choice,
        ttl_seconds: 1,
    };
    for wrong in [
        pb::HoldSeatsRequest::default(),
        hold("x", choose(&["a/b/1"])),
        hold(&id(), None),
        hold(&id(), choose(&[])),
        hold(&id(), choose(&["a/b"])),
        hold(&id(), choose(&["a/b/1"; 101])),
    ] {
        assert_eq!(refused(client.hold_seats(wrong).await), invalid);
    }
    assert_eq!(refused(client.hold_seats(hold(&id(), choose(&["a/b/1"]))).await), "NOT_FOUND");
    let none = pb::GetAvailabilityRequest::default();
    assert_eq!(refused(client.get_availability(none).await), invalid);
    assert_eq!(refused(client.release_hold(pb::ReleaseHoldRequest::default()).await), invalid);
    assert_eq!(refused(client.issue_tickets(pb::IssueTicketsRequest::default()).await), invalid);
    let issue = pb::IssueTicketsRequest {
        hold_id: id(),
        booking_id: id(),
        account_id: id(),
        currency: "XXXX".into(),
        ..Default::default()
    };
    assert_eq!(refused(client.issue_tickets(issue).await), invalid);
    assert_eq!(refused(client.cancel_tickets(pb::CancelTicketsRequest::default()).await), invalid);
    assert_eq!(refused(client.get_ticket(pb::GetTicketRequest::default()).await), invalid);
    let unknown = pb::GetTicketRequest { ticket_id: id() };
    assert_eq!(refused(client.get_ticket(unknown).await), "NOT_FOUND");
    let page = kernel_pb::Page { limit: 101, cursor: String::new() };
    let list = pb::ListTicketsRequest { page: Some(page), booking_id: id() };
    assert_eq!(refused(client.list_tickets(list).await), invalid);
    let list = pb::ListTicketsRequest { page: None, booking_id: "x".into() };
    assert_eq!(refused(client.list_tickets(list).await), invalid);
    assert_eq!(
        refused(client.validate_ticket(pb::ValidateTicketRequest::default()).await),
        invalid
    );
    assert_eq!(refused(client.use_ticket(pb::UseTicketRequest::default()).await), invalid);
    let nowhere = pb::UseTicketRequest { event_id: id(), ..Default::default() };
    assert_eq!(refused(client.use_ticket(nowhere).await), "NOT_FOUND");
}

#[tokio::test]
async fn a_configuration_that_can_not_work_is_refused_by_the_key() {
    let db = testkit::sqlite(&[&platform::MIGRATIONS, &ticket::MIGRATIONS]).await;
    let events = testkit::sqlite(&[]).await;
    let bus = Bus::memory(events.db.clone(), Tasks::new()).await.unwrap();
    let deps = |secret| Deps {
        db: db.db.clone(),
        clock: Arc::new(ManualClock::default()),
        ids: Arc::new(SeededIds::new(1)),
        bus: bus.clone(),
        secret: Secret::new(secret),
    };
    let wrong = Config { lanes: 0, ..config() };
    let error = ticket::build(wrong, deps(vec![1; 32])).await.err().unwrap();
    assert_eq!(error.to_string(), "ticket.lanes: must be at least 1");
    ticket::build(config(), deps(vec![1; 32])).await.unwrap();
    let error = ticket::build(config(), deps(vec![2; 32])).await.err().unwrap();
    assert!(matches!(error, ticket::BuildError::Keys(_)), "keys sealed under another secret");
}
