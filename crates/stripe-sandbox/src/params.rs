//! Form-encoded parameters with Stripe's bracket notation, and the errors Stripe gives for wrong
//! ones.

use std::collections::BTreeMap;

use aws_lc_rs::digest;

use crate::error::ApiError;

/// The parameters of one request, in the order sent, named as sent: `metadata[booking_id]`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads a query string and a form body; the body wins where both name a parameter.
    pub(crate) fn parse(query: &str, body: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(body).chain(form_urlencoded::parse(query.as_bytes()));
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// The value of a parameter. An empty one is unset, as with Stripe.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        if value.is_empty() { None } else { Some(value) }
    }

    /// The value of a parameter that must be there.
    pub(crate) fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.get(name).ok_or_else(|| ApiError::missing(name))
    }

    /// A whole number.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            ApiError::parameter(
                "parameter_invalid_integer",
                name,
                format!("Invalid integer: {text}"),
            )
        })
    }

    /// One of a few words.
    pub(crate) fn one_of<'a>(
        &'a self,
        name: &str,
        words: &[&str],
    ) -> Result<Option<&'a str>, ApiError> {
        match self.get(name) {
            Some(word) if !words.contains(&word) => {
                let text = format!("Invalid {name}: must be one of {}", words.join(", "));
                Err(ApiError::parameter("parameter_invalid_enum", name, text))
            }
            word => Ok(word),
        }
    }

    /// The entries `name[key]`, such as metadata.
    pub(crate) fn map(&self, name: &str) -> BTreeMap<String, String> {
        let entries = self.0.iter().filter_map(|(known, value)| {
            let key = known.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']')?;
            Some((key.to_owned(), value.clone()))
        });
        entries.collect()
    }

    /// Whether the list `name[]` holds `value`.
    pub(crate) fn lists(&self, name: &str, value: &str) -> bool {
        self.map(name).values().any(|known| known == value)
            || self.0.iter().any(|(known, text)| {
                text == value && known.strip_suffix("[]").is_some_and(|known| known == name)
            })
    }

    /// Refuses parameters that the endpoint does not know.
    pub(crate) fn allow(&self, names: &[&str]) -> Result<(), ApiError> {
        const EVERYWHERE: [&str; 3] = ["expand", "key", "client_secret"];
        for (name, _) in &self.0 {
            let top = name.split('[').next().unwrap_or(name);
            if !names.contains(&top) && !EVERYWHERE.contains(&top) {
                let text = format!("Received unknown parameter: {name}");
                return Err(ApiError::parameter("parameter_unknown", name, text));
            }
        }
        Ok(())
    }

    /// A digest of the request: the same for the same endpoint and parameters, in whatever order.
    pub(crate) fn fingerprint(&self, method: &str, path: &str) -> String {
        let mut pairs = self.0.clone();
        pairs.sort();
        let mut context = digest::Context::new(&digest::SHA256);
        let parts = pairs.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        for part in [method, path].into_iter().chain(parts) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        crate::hex(context.finish().as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_maps_and_lists_are_understood() {
        let params = Params::parse(
            "limit=3",
            b"amount=12&metadata[booking]=b%201&expand[]=latest_charge&description=",
        );
        assert_eq!(params.integer("amount").unwrap(), Some(12));
        assert_eq!(params.integer("limit").unwrap(), Some(3));
        assert_eq!(params.map("metadata").get("booking").map(String::as_str), Some("b 1"));
        assert!(params.lists("expand", "latest_charge") && !params.lists("expand", "charge"));
        assert_eq!(params.get("description"), None, "empty is unset");
        assert!(params.allow(&["amount", "metadata", "limit"]).is_err(), "description is unknown");
    }

    #[test]
    fn the_fingerprint_ignores_order_and_nothing_else() {
        let one = Params::parse("", b"a=1&b=2").fingerprint("POST", "/v1/refunds");
        assert_eq!(one, Params::parse("", b"b=2&a=1").fingerprint("POST", "/v1/refunds"));
        assert_ne!(one, Params::parse("", b"a=1&b=3").fingerprint("POST", "/v1/refunds"));
        assert_ne!(one, Params::parse("", b"a=1&b=2").fingerprint("POST", "/v1/charges"));
        assert_ne!(one, Params::parse("", b"a=1b&=2").fingerprint("POST", "/v1/refunds"));
    }
}
