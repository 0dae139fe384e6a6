//! Which service listens where, and the configuration that all processes share.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use crate::Failure;

const SANDBOX: &str = "stripe-sandbox";

/// The ports of all faces.
pub(super) struct Layout(Vec<(&'static str, &'static str, u16)>);

/// The face of a service that says whether it is ready.
pub(super) fn ready_face(
    services: &[(&'static str, Vec<&'static str>)],
    name: &str,
) -> &'static str {
    let faces = services.iter().find(|(its, _)| *its == name).map(|(_, faces)| faces);
    let has_metrics = faces.is_some_and(|faces| faces.contains(&"metrics"));
    if has_metrics { "metrics" } else { "http" }
}

impl Layout {
    /// Ports that are free now, each another.
    pub(super) fn free(services: &[(&'static str, Vec<&'static str>)]) -> Result<Self, Failure> {
        let mut taken = BTreeSet::new();
        let mut ports = Vec::new();
        for (service, faces) in services {
            for face in faces {
                let mut port = infra::free_port()?;
                while !taken.insert(port) {
                    port = infra::free_port()?;
                }
                ports.push((*service, *face, port));
            }
        }
        Ok(Self(ports))
    }

    /// `http://host:port` of a face.
    pub(super) fn url(&self, service: &str, face: &str) -> Result<String, Failure> {
        let missing = || Failure::new(format!("{service} has no face {face}"));
        let found = self.0.iter().find(|(its, name, _)| *its == service && *name == face);
        found.map(|(.., port)| format!("http://127.0.0.1:{port}")).ok_or_else(missing)
    }

    /// How processes of one service each find each other, and that they are one deployment.
    pub(super) fn neighbours(&self) -> Result<Vec<(String, String)>, Failure> {
        let sandbox = self.url(SANDBOX, "http")?;
        let realtime = self.url("realtime", "http")?.replacen("http", "ws", 1);
        let webhooks = format!("{}/webhooks/stripe", self.url("payment", "http")?);
        let own = [
            ("boxoffice.secret", infra::random_hex(32)?),
            ("payment.stripe_api_base", sandbox.clone()),
            ("gateway.payment_api_base", sandbox),
            ("gateway.realtime_url", format!("{realtime}/ws")),
            ("stripe-sandbox.webhook_url", webhooks),
        ];
        let mut values: Vec<_> = own.map(|(key, value)| (key.to_owned(), value)).into();
        for (service, ..) in self.0.iter().filter(|(_, face, _)| *face == "grpc") {
            let remote = format!("[{:?}]", self.url(service, "grpc")?);
            values.push((format!("remotes.{service}"), remote));
        }
        Ok(values)
    }

    /// What is the same for all processes: where they listen, their `own` values, and others, which
    /// win. Later values win over earlier ones.
    pub(super) fn config(&self, own: Vec<(String, String)>, values: &[(String, String)]) -> String {
        let mut all = BTreeMap::new();
        for (service, face, port) in &self.0 {
            all.insert(format!("listen.{service}.{face}"), port.to_string());
        }
        all.extend(own);
        all.extend(values.iter().cloned());
        let mut text = String::new();
        for (key, value) in all {
            let listed = value.starts_with('[');
            let plain = value.parse::<f64>().is_ok() || value.parse::<bool>().is_ok() || listed;
            let value = if plain { value } else { format!("{value:?}") };
            let _infallible = writeln!(text, "{key} = {value}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_face_has_a_port_of_its_own_and_the_last_value_wins() {
        let services = [("auth", vec!["grpc", "metrics"]), ("gateway", vec!["http"])];
        let layout = Layout::free(&services).unwrap();
        let ports: BTreeSet<_> = layout.0.iter().map(|(.., port)| *port).collect();
        assert_eq!(ports.len(), 3);
        let set = |value: &str| ("booking.hold_ttl_seconds".to_owned(), value.to_owned());
        let text = layout.config(vec![set("5")], &[set("10"), set("20")]);
        assert!(text.contains("booking.hold_ttl_seconds = 20\n") && !text.contains("= 10\n"));
        assert!(text.contains("listen.gateway.http = "), "{text}");
        assert!(layout.url("gateway", "grpc").is_err());
        assert_eq!(ready_face(&services, "auth"), "metrics");
        assert_eq!(ready_face(&services, "gateway"), "http");
    }
}
