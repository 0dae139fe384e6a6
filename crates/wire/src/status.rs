//! The one mapping between failures and gRPC statuses: code, `ErrorInfo` reason and metadata, field
//! violations, retry info.

use std::{borrow::Cow, collections::HashMap, time::Duration};

use kernel::{Code, Failure, FieldError};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

/// Whose reasons these are.
const DOMAIN: &str = "boxoffice";
/// Details travel in a header, and headers have limits: above these, what helps is left out.
const MAX_DETAIL_BYTES: usize = 4 * 1024;
const MAX_DETAILS_BYTES: usize = 32 * 1024;

/// Our code, its gRPC code, and the reason of a status that brings none.
const CODES: [(Code, tonic::Code, &str); 10] = [
    (Code::Invalid, tonic::Code::InvalidArgument, "INVALID_ARGUMENT"),
    (Code::Unauthenticated, tonic::Code::Unauthenticated, "UNAUTHENTICATED"),
    (Code::Forbidden, tonic::Code::PermissionDenied, "FORBIDDEN"),
    (Code::NotFound, tonic::Code::NotFound, "NOT_FOUND"),
    (Code::Conflict, tonic::Code::FailedPrecondition, "CONFLICT"),
    (Code::Stale, tonic::Code::Aborted, "STALE"),
    (Code::Exhausted, tonic::Code::ResourceExhausted, "EXHAUSTED"),
    (Code::Unavailable, tonic::Code::Unavailable, "UNAVAILABLE"),
    (Code::Deadline, tonic::Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
    (Code::Internal, tonic::Code::Internal, "INTERNAL"),
];

/// The gRPC status of a failure. An internal fault's text is logged, and not sent.
#[must_use]
pub fn status(failure: Failure) -> tonic::Status {
    let Failure { code, reason, detail, fields, metadata, retry_after_ms } = failure;
    let known = CODES.iter().find(|(ours, ..)| *ours == code);
    let grpc = known.map_or(tonic::Code::Internal, |(_, grpc, _)| *grpc);
    let mut bare = ErrorDetails::with_error_info(reason.clone(), DOMAIN, HashMap::new());
    if code == Code::Internal {
        tracing::error!(%reason, detail, "internal failure");
        return tonic::Status::with_error_details(grpc, "internal error", bare);
    }
    if let Some(milliseconds) = retry_after_ms {
        bare.set_retry_info(Some(Duration::from_millis(milliseconds)));
    }
    let detail = shortened(&detail);
    if metadata.is_empty() && fields.is_empty() {
        return tonic::Status::with_error_details(grpc, detail, bare);
    }
    let mut full = bare.clone();
    full.set_error_info(reason, DOMAIN, metadata.into_iter().collect::<HashMap<_, _>>());
    let violations = fields.into_iter().map(|error| FieldViolation::new(error.field, error.detail));
    for violation in violations {
        full.add_bad_request_violation(violation.field, violation.description);
    }
    let status = tonic::Status::with_error_details(grpc, detail, full);
    if status.details().len() <= MAX_DETAILS_BYTES {
        return status;
    }
    tonic::Status::with_error_details(grpc, detail, bare)
}

/// The failure that a gRPC status stands for.
#[must_use]
pub fn failure(status: &tonic::Status) -> Failure {
    let (code, reason) = meaning(status.code());
    let mut failure = Failure::new(code, reason, status.message());
    let details = status.get_error_details();
    if let Some(error) = details.error_info().filter(|error| error.domain == DOMAIN) {
        failure.reason = Cow::Owned(error.reason.clone());
        failure.metadata.extend(error.metadata.clone());
    }
    if let Some(request) = details.bad_request() {
        let violations = request.field_violations.iter();
        failure.fields.extend(violations.map(|violation| FieldError {
            field: violation.field.clone(),
            detail: violation.description.clone(),
        }));
    }
    let delay = details.retry_info().and_then(|retry| retry.retry_delay);
    failure.retry_after_ms = delay.and_then(|delay| u64::try_from(delay.as_millis()).ok());
    failure
}

/// Our code for any gRPC code, also for those that only others send, and the reason where none is
/// given.
fn meaning(grpc: tonic::Code) -> (Code, &'static str) {
    let grpc = match grpc {
        tonic::Code::OutOfRange => tonic::Code::InvalidArgument,
        tonic::Code::AlreadyExists => tonic::Code::FailedPrecondition,
        tonic::Code::Cancelled => tonic::Code::Unavailable,
        grpc => grpc,
    };
    let known = CODES.iter().find(|(_, code, _)| *code == grpc);
    known.map_or((Code::Internal, "INTERNAL"), |(code, _, reason)| (*code, *reason))
}

fn shortened(detail: &str) -> &str {
    let mut end = detail.len().min(MAX_DETAIL_BYTES);
    while !detail.is_char_boundary(end) {
        end -= 1;
    }
    detail.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::{collection, option, prelude::*};

    use super::*;

    /// As a server sends it and a client reads it.
    fn over_the_wire(failure: Failure) -> Failure {
        let response = status(failure).into_http::<()>();
        super::failure(&tonic::Status::from_header_map(response.headers()).unwrap())
    }

    prop_compose! {
        fn failures()(
            code in 0..CODES.len(),
            reason in "[A-Z][A-Z_]{0,30}",
            detail in "\\PC{0,80}",
            fields in collection::vec(("[a-z.]{1,12}", "\\PC{0,20}"), 0..4),
            metadata in collection::btree_map("[a-z_]{1,12}", "\\PC{0,20}", 0..4),
            retry_after_ms in option::of(0..u64::from(u32::MAX)),
        ) -> Failure {
            let fields = fields.into_iter().map(|(field, detail)| FieldError { field, detail });
            Failure {
                code: CODES[code].0,
                reason: reason.into(),
                detail,
                fields: fields.collect(),
                metadata,
                retry_after_ms,
            }
        }
    }

    proptest! {
        #[test]
        fn a_failure_arrives_as_it_was_sent(failure in failures()) {
            let expected = match failure.code {
                Code::Internal => Failure {
                    detail: "internal error".into(),
                    fields: Vec::new(),
                    metadata: Default::default(),
                    retry_after_ms: None,
                    ..failure.clone()
                },
                _ => failure.clone(),
            };
            prop_assert_eq!(over_the_wire(failure), expected);
        }
    }

    #[test]
    fn what_is_too_large_for_a_header_arrives_without_its_extras() {
        let large = Failure::new(Code::Conflict, "SEAT_TAKEN", "ü".repeat(MAX_DETAIL_BYTES))
            .with("free", "A-1 ".repeat(MAX_DETAILS_BYTES))
            .retry_after(1_500);
        let arrived = over_the_wire(large);
        assert_eq!((arrived.code, &*arrived.reason), (Code::Conflict, "SEAT_TAKEN"));
        assert_eq!(arrived.retry_after_ms, Some(1_500));
        assert!(arrived.metadata.is_empty());
        assert_eq!(arrived.detail, "ü".repeat(MAX_DETAIL_BYTES / 2));
    }

    #[test]
    fn a_strangers_status_has_a_meaning_too() {
        let of = |code| super::failure(&tonic::Status::new(code, "said"));
        assert_eq!(of(tonic::Code::Unavailable), Failure::unavailable("said"));
        assert_eq!(of(tonic::Code::AlreadyExists).code, Code::Conflict);
        assert_eq!(of(tonic::Code::Unimplemented).code, Code::Internal);
        assert_eq!(of(tonic::Code::Unknown), Failure::internal("said"));
    }
}
