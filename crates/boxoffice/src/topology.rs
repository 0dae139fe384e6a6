//! The ten services as values: their databases, and the graph of synchronous calls between them.
//! The mesh hands out only what stands here; everything else travels as events.

/// One service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Role {
    /// Its name: directory, package, section of the configuration.
    pub name: &'static str,
    /// Its database, if it has one.
    pub database: Option<&'static str>,
}

const fn role(name: &'static str, database: Option<&'static str>) -> Role {
    Role { name, database }
}

/// The ten services, each after those that it calls.
pub const ROLES: [Role; 10] = [
    role("auth", Some("booking_system_auth")),
    role("user", Some("user_service")),
    role("ticket", Some("booking_system_ticket")),
    role("event", Some("booking_system_event")),
    role("payment", Some("payment_db")),
    role("booking", Some("booking_service")),
    role("realtime", None),
    role("booking-worker", None),
    role("email-worker", Some("booking_system")),
    role("gateway", None),
];

/// The faces that each service listens on, those of the Stripe sandbox included.
pub const FACES: [(&str, &[&str]); 11] = [
    ("auth", &["grpc", "metrics"]),
    ("user", &["grpc", "metrics"]),
    ("event", &["grpc", "metrics"]),
    ("ticket", &["grpc", "metrics"]),
    ("booking", &["grpc", "http"]),
    ("realtime", &["grpc", "http", "metrics"]),
    ("payment", &["grpc", "http"]),
    ("gateway", &["http", "metrics"]),
    ("booking-worker", &["grpc", "metrics"]),
    ("email-worker", &["grpc", "http", "metrics"]),
    ("stripe-sandbox", &["http"]),
];

/// The process itself, when it makes the demo.
pub const HOST: &str = "boxoffice";

/// Who may call whom. Calls to auth-service are for its public keys, but for the gateway's.
pub const CALLS: &[(&str, &[&str])] = &[
    ("booking", &["auth", "event", "payment", "ticket"]),
    ("booking-worker", &["booking", "realtime"]),
    (HOST, &["auth", "event"]),
    ("event", &["ticket"]),
    (
        "gateway",
        &[
            "auth",
            "booking",
            "booking-worker",
            "email-worker",
            "event",
            "payment",
            "realtime",
            "ticket",
            "user",
        ],
    ),
    ("payment", &["auth"]),
    ("realtime", &["auth"]),
];

/// The service called `name`.
#[must_use]
pub fn find(name: &str) -> Option<Role> {
    ROLES.into_iter().find(|role| role.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Takes services away that call nobody who is left; what remains calls in a circle.
    fn circle(calls: &[(&'static str, &[&'static str])]) -> BTreeSet<&'static str> {
        let mut left: BTreeSet<_> = calls.iter().map(|(from, _)| *from).collect();
        loop {
            let next: BTreeSet<_> = calls
                .iter()
                .filter(|(from, to)| left.contains(from) && to.iter().any(|to| left.contains(to)))
                .map(|(from, _)| *from)
                .collect();
            if next == left {
                return left;
            }
            left = next;
        }
    }

    #[test]
    fn services_never_call_in_a_circle() {
        assert_eq!(circle(CALLS), BTreeSet::new());
        let planted: &[(&str, &[&str])] =
            &[("a", &["b"]), ("b", &["c"]), ("c", &["a"]), ("d", &["a"])];
        assert!(circle(planted).contains("b"), "a circle must be found");
    }

    #[test]
    fn only_services_are_called_and_built_after_what_they_call() {
        for (from, to) in CALLS {
            for to in *to {
                let to_at = ROLES.iter().position(|role| role.name == *to);
                assert!(to_at.is_some(), "{from} calls {to}");
                let from_at = ROLES.iter().position(|role| role.name == *from);
                assert!(*from == HOST || to_at < from_at, "{from} before {to}");
            }
        }
    }
}
