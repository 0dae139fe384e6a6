//! Calls without a good answer: what is known of them, and what it says of the replica.

use std::{error::Error, io, iter};

use kernel::Failure;
use tokio::time::Instant;
use tonic::{ConnectError, Status, TimeoutExpired};
use tonic_types::StatusExt;

use crate::{guard::too_late, status};

/// How TLS words a peer's refusal.
const PEER_REFUSAL: &str = "received fatal alert";

/// A call without a good answer.
pub(crate) struct Lost {
    pub(crate) status: Status,
    /// No byte of it has left this process.
    pub(crate) unsent: bool,
}

impl From<Status> for Lost {
    fn from(status: Status) -> Self {
        Self { status, unsent: false }
    }
}

/// A call that got no answer: unless there was no connection to send it over, nobody knows what
/// became of it.
pub(crate) fn lost(service: &str, error: &(dyn Error + 'static), deadline: Instant) -> Lost {
    let chain = || iter::successors(Some(error), |&error| error.source());
    let words: Vec<String> = chain().map(ToString::to_string).collect();
    tracing::debug!(service, error = words.join(": "), "call lost");
    let unsent = chain().any(|error| error.is::<ConnectError>());
    let late = chain().any(|error| error.is::<TimeoutExpired>()) || deadline <= Instant::now();
    let status = match tls_fault(chain()) {
        _ if late => status(too_late()),
        Some(fault) => {
            let detail = format_args!("{service} can't be reached: tls: {fault}");
            status(Failure::unavailable(detail))
        }
        None => status(Failure::unavailable(format_args!("{service} can't be reached"))),
    };
    Lost { status, unsent }
}

/// What TLS has against a connection, if that is what is wrong with it.
fn tls_fault<'a>(chain: impl Iterator<Item = &'a (dyn Error + 'static)>) -> Option<String> {
    let mut chain = chain.filter_map(|error| {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let fault = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let fault = fault.or_else(|| error.downcast_ref()).map(ToString::to_string);
        // Once a connection is made, the protocol above keeps only the words.
        fault.or_else(|| Some(error.to_string()).filter(|words| words.contains(PEER_REFUSAL)))
    });
    chain.next()
}

/// Whether a call says that its replica is not well. Who is too busy and says when to come again is
/// well: a breaker that opened for that would turn an overload into an outage.
pub(crate) fn is_fault(status: &Status) -> bool {
    is_passing(status) && status.get_details_retry_info().is_none()
}

/// Whether the same call may succeed later or elsewhere.
pub(crate) fn is_passing(status: &Status) -> bool {
    matches!(status.code(), tonic::Code::Unavailable | tonic::Code::DeadlineExceeded)
}
