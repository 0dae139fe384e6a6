//! Pages of lists: the query, and the answer with its `Link`.

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use wire::pb::kernel::v1 as pb;

/// Which page of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// The most items, 1 to 100; 20 where nothing is said.
    pub limit: u32,
    /// As the page before gave it.
    pub cursor: String,
}

impl PageQuery {
    pub(crate) fn to_wire(&self) -> pb::Page {
        pb::Page { limit: self.limit, cursor: self.cursor.clone() }
    }
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    pub items: Vec<T>,
    /// For the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    #[serde(skip)]
    next_link: Option<String>,
}

impl<T> List<T> {
    /// A page whose next one is `cursor`, if there is one, under `path` with the same query.
    pub(crate) fn new(items: Vec<T>, cursor: String, path: &str, query: &[(&str, &str)]) -> Self {
        let next_cursor = (!cursor.is_empty()).then_some(cursor);
        let next_link = next_cursor.as_ref().map(|cursor| {
            let kept = query.iter().filter(|(_, value)| !value.is_empty() && *value != "0");
            let kept = kept.map(|(key, value)| format!("{key}={}&", escaped(value)));
            format!("<{path}?{}cursor={}>; rel=\"next\"", kept.collect::<String>(), escaped(cursor))
        });
        Self { items, next_cursor, next_link }
    }
}

/// Percent-encodes what is not unreserved (RFC 3986).
fn escaped(text: &str) -> String {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let escape = |byte: u8| {
        if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(escape).collect()
}

impl<T: Serialize> IntoResponse for List<T> {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        if let Some(link) =
            self.next_link.as_deref().and_then(|its| HeaderValue::from_str(its).ok())
        {
            headers.insert(header::LINK, link);
        }
        (headers, axum::Json(self)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_keeps_the_query_and_escapes_it() {
        let list = List::<u8>::new(vec![], "a b".into(), "/x", &[("query", "ä&"), ("limit", "0")]);
        assert_eq!(list.next_link.unwrap(), "</x?query=%C3%A4%26&cursor=a%20b>; rel=\"next\"");
        assert!(List::<u8>::new(vec![], String::new(), "/x", &[]).next_cursor.is_none());
    }
}
