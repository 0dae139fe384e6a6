//! Logs: `tracing` to standard error, as text for people or JSON for machines.

use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, layer::SubscriberExt};

/// How to log.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Filter as `tracing_subscriber::EnvFilter` reads it: `info`, `warn,booking=debug`.
    pub filter: String,
    /// JSON lines instead of text.
    pub json: bool,
}

/// Starts logging for this process. Called once, by the binary; a second call changes nothing.
///
/// # Errors
/// If the filter can't be read.
pub fn start(config: &Config) -> Result<(), String> {
    let filter = EnvFilter::try_new(&config.filter)
        .map_err(|error| format!("filter {:?}: {error}", config.filter))?;
    let to_stderr = fmt::layer::<Registry>().with_writer(std::io::stderr);
    let lines = if config.json {
        to_stderr.json().flatten_event(true).boxed()
    } else {
        to_stderr.compact().boxed()
    };
    let subscriber = Registry::default().with(lines).with(filter);
    // It fails where logging has been started before: the first call holds.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_none_is_refused_and_starting_twice_is_fine() {
        let config = |filter: &str| Config { filter: filter.to_owned(), json: false };
        assert!(start(&config("booking=loud")).unwrap_err().contains("booking=loud"));
        start(&config("off")).unwrap();
        start(&Config { json: true, ..config("warn,booking=debug") }).unwrap();
    }
}
