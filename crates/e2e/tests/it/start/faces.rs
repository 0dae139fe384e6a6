//! All faces of the design are there, on the ports that it names, and answer.

use boxoffice::{SANDBOX, Settings, Sources};
use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::system::{System, Web};

/// Service, gRPC port and contract, HTTP port, metrics port.
type Faces = (&'static str, Option<(u16, &'static str)>, Option<u16>, Option<u16>);

/// As the design fixes them.
const FACES: [Faces; 11] = [
    ("auth", Some((50_051, "auth.v1.AuthService")), None, Some(9_091)),
    ("user", Some((50_052, "user.v1.UserService")), None, Some(9_092)),
    ("event", Some((50_054, "event.v1.EventService")), None, Some(9_095)),
    ("ticket", Some((50_055, "ticket.v1.TicketService")), None, Some(9_096)),
    ("booking", Some((50_056, "booking.v1.BookingService")), Some(8_080), None),
    ("realtime", Some((50_057, "realtime.v1.RealtimeService")), Some(3_003), Some(9_057)),
    ("payment", Some((50_058, "payment.v1.PaymentService")), Some(8_081), None),
    ("gateway", None, Some(3_000), Some(9_090)),
    ("booking-worker", Some((50_059, "booking_worker.v1.BookingWorkerService")), None, Some(9_093)),
    (
        "email-worker",
        Some((50_060, "email_worker.v1.EmailWorkerService")),
        Some(8_082),
        Some(9_094),
    ),
    (SANDBOX, None, Some(12_111), None),
];

#[test]
fn the_ports_are_those_of_the_design() {
    let settings = Settings::load(&Sources::default()).unwrap();
    assert_eq!(settings.listen.len(), FACES.len());
    for (service, grpc, http, metrics) in FACES {
        let ports = settings.listen[service];
        let expected = (grpc.map(|(port, _)| port), http, metrics);
        assert_eq!((ports.grpc, ports.http, ports.metrics), expected, "{service}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_face_of_the_design_answers() {
    let system = System::start(&[]).await;
    assert_eq!(system.running.services().len(), FACES.len());
    for (service, grpc, http, metrics) in FACES {
        let faces = system.running.addresses(service);
        let there = (faces.grpc.is_some(), faces.http.is_some(), faces.metrics.is_some());
        let expected = (grpc.is_some(), http.is_some(), metrics.is_some());
        assert_eq!(there, expected, "{service}");
        if let (Some(address), Some((_, contract))) = (faces.grpc, grpc) {
            let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
            let channel = endpoint.connect().await;
            let channel = channel.unwrap_or_else(|error| panic!("{service}: {error}"));
            let mut client = HealthClient::new(channel);
            for name in ["", &format!("boxoffice.{contract}")] {
                let health = client.check(HealthCheckRequest { service: name.to_owned() }).await;
                let health = health.unwrap_or_else(|error| panic!("{service} {name}: {error}"));
                assert_eq!(health.into_inner().status(), ServingStatus::Serving, "{name}");
            }
        }
        for address in [faces.http, faces.metrics].into_iter().flatten() {
            let face = Web::new(&format!("http://{address}"));
            assert_eq!(face.get("/health").await.expect(200)["status"], "up", "{service}");
            let ready = face.get("/ready").await.expect(200);
            assert_eq!(ready["status"], "up", "{service}: {ready}");
            let metrics = face.get("/metrics").await.expect(200);
            let metrics = metrics.as_str().unwrap();
            assert!(metrics.ends_with("# EOF\n"), "{service}: {metrics}");
            face.get("/nothing").await.expect(404);
        }
    }
    let visitor = system.visitor();
    for page in ["/", "/mailbox", "/api/docs/", "/.well-known/jwks.json"] {
        visitor.get(page).await.expect(200);
    }
    system.running.stop().await;
}
