//! The one stylesheet, kept by browsers until it changes.

use axum::{
    extract::RawQuery,
    http::header,
    response::{IntoResponse, Response},
};

const STYLE: &str = include_str!("../assets/style.css");

/// Tells this stylesheet from those before: pages ask for it by this number.
pub(crate) const VERSION: u64 = fnv1a(STYLE.as_bytes());

/// `GET /style.css?v=`: for good, if it is the version that was asked for. During an upgrade a
/// replica may be asked for a version that it doesn't have; what it gives then is soon asked again.
pub(crate) async fn style(RawQuery(query): RawQuery) -> Response {
    let asked = query.as_deref().and_then(|query| query.strip_prefix("v="));
    let current = asked.and_then(|version| version.parse().ok()) == Some(VERSION);
    let kept = if current { "public, max-age=31536000, immutable" } else { "public, max-age=60" };
    let headers =
        [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, kept)];
    (headers, STYLE).into_response()
}

/// FNV-1a: enough to tell versions apart, and known when compiling.
const fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut rest = bytes;
    while let [byte, tail @ ..] = rest {
        hash = (hash ^ *byte as u64).wrapping_mul(0x0100_0000_01b3);
        rest = tail;
    }
    hash
}
