//! The methods of all contracts: whose they are, and which of them may be called again.

/// One method of a contract.
#[derive(Debug)]
pub(crate) struct Method {
    /// Its place in tables over all methods; an unknown one has the place behind the last.
    pub(crate) index: usize,
    path: &'static str,
    /// The service that answers it: `booking-worker`.
    pub(crate) service: &'static str,
    /// `JoinQueue`.
    pub(crate) name: &'static str,
}

/// Sorted by path.
pub(crate) const METHODS: &[Method] = &include!(concat!(env!("OUT_DIR"), "/methods.rs"));

/// What is in no contract. One for all, so that a stranger can't grow the metrics.
const UNKNOWN: &Method =
    &Method { index: METHODS.len(), path: "", service: "unknown", name: "unknown" };

/// Methods that only look.
const READS: [&str; 4] = ["Get", "List", "Quote", "Validate"];
/// Verbs that a key in the request makes safe to repeat: the second call finds the effect of the
/// first.
const KEYED: [&str; 10] = [
    "CancelPayment",
    "CancelTickets",
    "CapturePayment",
    "CreateIntent",
    "HoldSeats",
    "IssueTickets",
    "JoinQueue",
    "OpenInventory",
    "RefundPayment",
    "ReleaseHold",
];

impl Method {
    /// Whether calling twice has the effect of calling once.
    pub(crate) fn is_idempotent(&self) -> bool {
        READS.iter().any(|read| self.name.starts_with(read)) || KEYED.contains(&self.name)
    }
}

/// The method at `path`: `/boxoffice.user.v1.UserService/GetProfile`.
pub(crate) fn find(path: &str) -> &'static Method {
    let at = METHODS.binary_search_by(|method| method.path.cmp(path)).ok();
    at.and_then(|at| METHODS.get(at)).unwrap_or(UNKNOWN)
}

/// The method whose place in tables is `index`.
pub(crate) fn at(index: usize) -> &'static Method {
    METHODS.get(index).unwrap_or(UNKNOWN)
}

/// The gRPC services of `service`, by their full names: `boxoffice.user.v1.UserService`.
pub(crate) fn grpc_services(service: &str) -> Vec<&'static str> {
    let own = METHODS.iter().filter(|method| method.service == service);
    let mut names: Vec<_> = own.filter_map(|method| method.path.split('/').nth(1)).collect();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_found_by_its_path_and_strangers_are_one() {
        assert!(METHODS.len() > 40);
        for (index, method) in METHODS.iter().enumerate() {
            assert_eq!((find(method.path).index, method.index), (index, index), "{}", method.path);
        }
        assert_eq!(find("/boxoffice.user.v1.UserService/Nonsense").name, "unknown");
        assert_eq!(find("").index, METHODS.len());
        let services = grpc_services("booking-worker");
        assert_eq!(services, ["boxoffice.booking_worker.v1.BookingWorkerService"]);
    }

    #[test]
    fn every_keyed_verb_exists_and_no_other_write_is_repeated() {
        for name in KEYED {
            assert!(METHODS.iter().any(|method| method.name == name), "{name}");
        }
        let repeatable = |name| METHODS.iter().any(|m| m.name == name && m.is_idempotent());
        assert!(repeatable("GetProfile") && repeatable("Quote") && repeatable("ValidateTicket"));
        for name in ["UpdateProfile", "OpenBooking", "UseTicket", "Register", "Refresh", "Login"] {
            assert!(!repeatable(name), "{name}");
        }
    }
}
