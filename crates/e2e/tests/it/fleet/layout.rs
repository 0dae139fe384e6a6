//! Which processes there are, on which ports, and the configuration that they share.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::Path,
};

use super::{Parts, Size, process::Process};

/// The services with their faces, and whether they have several replicas.
const SERVICES: [(&str, &[&str], bool); 11] = [
    ("auth", &["grpc", "metrics"], false),
    ("user", &["grpc", "metrics"], false),
    ("event", &["grpc", "metrics"], false),
    ("ticket", &["grpc", "metrics"], true),
    ("booking", &["grpc", "http"], true),
    ("payment", &["grpc", "http"], true),
    ("realtime", &["grpc", "http", "metrics"], true),
    ("booking-worker", &["grpc", "metrics"], true),
    ("email-worker", &["grpc", "http", "metrics"], true),
    ("gateway", &["http", "metrics"], true),
    ("stripe-sandbox", &["http"], false),
];

/// A face of a replica, and its port.
struct Face {
    service: &'static str,
    replica: usize,
    name: &'static str,
    port: u16,
}

/// The ports of all processes.
pub(super) struct Addresses {
    size: Size,
    faces: Vec<Face>,
}

/// How processes with these values speak to each other.
pub(super) fn scheme(values: &[(&str, &str)]) -> &'static str {
    let over_tls = values.iter().any(|(key, _)| *key == "tls.ca");
    if over_tls { "https" } else { "http" }
}

impl Addresses {
    /// Ports that are free now, each another.
    pub(super) fn free(size: Size) -> Self {
        let mut taken = BTreeSet::new();
        let mut port = || {
            loop {
                let port = infra::free_port().unwrap();
                if taken.insert(port) {
                    return port;
                }
            }
        };
        let mut faces = Vec::new();
        for (service, names, several) in SERVICES {
            for replica in 0..size.replicas(several) {
                let its = names.iter().map(|name| Face { service, replica, name, port: port() });
                faces.extend(its);
            }
        }
        Self { size, faces }
    }

    /// The ports of a face of each replica.
    pub(super) fn ports(&self, service: &str, name: &str) -> Vec<u16> {
        let faces = self.faces.iter().filter(|its| its.service == service && its.name == name);
        faces.map(|face| face.port).collect()
    }

    /// All processes, not started.
    pub(super) fn processes(&self, directory: &Path, tickets: &[String]) -> Vec<Process> {
        let mut all = Vec::new();
        for (service, _, several) in SERVICES {
            for replica in 0..self.size.replicas(several) {
                let its = self
                    .faces
                    .iter()
                    .filter(|its| (its.service, its.replica) == (service, replica));
                let ports = its.map(|face| (face.name, face.port)).collect();
                let mut process = Process::new((service, replica), ports, directory);
                if service == "booking" {
                    process.set("remotes.ticket", &format!("{tickets:?}"));
                }
                all.push(process);
            }
        }
        all
    }

    /// What is the same for all of them, as `boxoffice.toml`, in dotted keys.
    pub(super) fn config(&self, parts: &Parts, secret: &str, values: &[(&str, &str)]) -> String {
        let scheme = scheme(values);
        let first = |service, face| self.ports(service, face)[0];
        let sandbox = format!("http://127.0.0.1:{}", first("stripe-sandbox", "http"));
        let webhooks = format!("http://127.0.0.1:{}/webhooks/stripe", first("payment", "http"));
        let mut all = BTreeMap::from([
            ("boxoffice.database", parts.postgres.server_url()),
            ("boxoffice.replica", parts.replica.server_url()),
            ("boxoffice.database_connections", "4".to_owned()),
            ("boxoffice.kv", parts.redis.url()),
            ("boxoffice.bus", format!("kafka://{}", parts.kafka.brokers())),
            ("boxoffice.secret", secret.to_owned()),
            ("payment.stripe_api_base", sandbox.clone()),
            ("gateway.payment_api_base", sandbox),
            ("gateway.realtime_url", format!("ws://127.0.0.1:{}/ws", first("realtime", "http"))),
            ("stripe-sandbox.webhook_url", webhooks),
        ]);
        all.extend(values.iter().map(|(key, value)| (*key, (*value).to_owned())));
        let mut text = String::new();
        for (key, value) in all {
            let (section, key) = key.split_once('.').unwrap();
            let plain = value.parse::<u64>().is_ok() || value.parse::<bool>().is_ok();
            let value = if plain { value } else { format!("{value:?}") };
            writeln!(text, "{section}.{key} = {value}").unwrap();
        }
        for (service, faces, _) in SERVICES.iter().filter(|(_, faces, _)| faces.contains(&"grpc")) {
            let ports = self.ports(service, faces[0]);
            let urls: Vec<_> =
                ports.iter().map(|port| format!("{scheme}://127.0.0.1:{port}")).collect();
            writeln!(text, "remotes.{service} = {urls:?}").unwrap();
        }
        text
    }
}
