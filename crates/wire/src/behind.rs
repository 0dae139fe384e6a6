//! How far a service is behind with work that it has taken on: told with answers to those who bring
//! more of it.

use std::time::Duration;

use tonic::{Response, metadata::MetadataValue};

const BEHIND_MS: &str = "x-boxoffice-behind-ms";

/// Says with `response` how far the service is behind, in whole milliseconds.
pub fn tell_behind<T>(response: &mut Response<T>, behind: Duration) {
    let milliseconds = u64::try_from(behind.as_millis()).unwrap_or(u64::MAX);
    response.metadata_mut().insert(BEHIND_MS, MetadataValue::from(milliseconds));
}

/// How far the service that answered is behind; not at all, if it doesn't say.
#[must_use]
pub fn behind<T>(response: &Response<T>) -> Duration {
    let told = response.metadata().get(BEHIND_MS).and_then(|value| value.to_str().ok());
    Duration::from_millis(told.and_then(|text| text.parse().ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_heard_and_nonsense_is_nothing() {
        let mut response = Response::new(());
        assert_eq!(behind(&response), Duration::ZERO);
        tell_behind(&mut response, Duration::from_micros(1_234_567));
        assert_eq!(behind(&response), Duration::from_millis(1_234));
        response.metadata_mut().insert(BEHIND_MS, MetadataValue::from_static("-1"));
        assert_eq!(behind(&response), Duration::ZERO);
    }
}
