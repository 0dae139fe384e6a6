//! `boxoffice audit`: where the stores of these settings are, and what the audit says of them.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use ::audit::{DATABASES, Database, Log, Options, Queue, Server, Stores};

use crate::{
    Settings, StartError,
    print::say,
    settings::{MEMORY, on_server},
};

/// What the command line asks for.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// What clients were told, one JSON object a line
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Waits so long until nothing is unsettled; what is then still unsettled counts as wrong
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    settle: u64,
    /// The payment sandbox's books [default: stripe_sandbox.sqlite in the state directory]
    #[arg(long, value_name = "FILE")]
    provider: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Looks at everything and says what breaks a rule; fails if anything does.
pub(crate) async fn audit(settings: &Settings, args: Args) -> Result<ExitCode, StartError> {
    let settle = Duration::from_secs(args.settle);
    let mut stores = stores(settings);
    if args.provider.is_some() {
        stores.provider = args.provider;
    }
    let options = Options { journal: args.journal, settle, ..Options::default() };
    let report = ::audit::run(&stores, &options).await;
    let report = report.map_err(|error| StartError::build("audit", error))?;
    if args.json {
        let json = serde_json::to_string(&report);
        say(&json.map_err(|error| StartError::build("audit", error))?);
    } else {
        say(&report.to_string());
    }
    let right = report.violations() == 0 && (settle.is_zero() || report.unsettled.count == 0);
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where a platform with these settings keeps what it knows.
#[must_use]
pub fn stores(settings: &Settings) -> Stores {
    let process = &settings.process;
    let file = |name: &str| process.state_directory.join(format!("{name}.sqlite"));
    let database = |name: &str| match process.database.as_str() {
        "sqlite:" => Database::File(file(name)),
        url => Database::Server(Server {
            url: on_server(url, name),
            ca_file: Some(Path::new(&process.database_ca))
                .filter(|path| !path.as_os_str().is_empty())
                .map(Path::to_owned),
        }),
    };
    let namespace = || process.namespace.clone();
    Stores {
        databases: DATABASES.map(|name| (name, database(name))).into(),
        log: match settings.brokers() {
            Some(brokers) => Log::Brokers { brokers: brokers.to_owned(), namespace: namespace() },
            None => Log::File(file("bus")),
        },
        queue: match process.kv.as_str() {
            MEMORY => Queue::File(file("kv")),
            url => Queue::Redis { url: url.to_owned(), namespace: namespace() },
        },
        provider: process.sandbox.then(|| file("stripe_sandbox")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sources;

    fn stores_of(values: &[(&str, &str)]) -> Stores {
        let values = values.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        let sources = Sources { values: values.collect(), ..Sources::default() };
        stores(&Settings::load(&sources).unwrap())
    }

    #[test]
    fn stores_are_where_the_services_have_them() {
        let own = stores_of(&[("boxoffice.state_directory", "/srv")]);
        let Some(Database::File(path)) = own.databases.get("payment_db") else { panic!("{own:?}") };
        assert_eq!(path, Path::new("/srv/payment_db.sqlite"));
        assert!(matches!(own.log, Log::File(path) if path == Path::new("/srv/bus.sqlite")));
        assert!(matches!(own.queue, Queue::File(path) if path == Path::new("/srv/kv.sqlite")));
        assert_eq!(own.provider, Some("/srv/stripe_sandbox.sqlite".into()));

        let elsewhere = stores_of(&[
            ("boxoffice.database", "postgres://db/?sslmode=require"),
            ("boxoffice.database_ca", "/ca.pem"),
            ("boxoffice.kv", "redis://kv"),
            ("boxoffice.bus", "kafka://log:9092"),
            ("boxoffice.namespace", "n-"),
            ("boxoffice.sandbox", "false"),
        ]);
        let Some(Database::Server(server)) = elsewhere.databases.get("booking_service") else {
            panic!("{elsewhere:?}")
        };
        assert_eq!(server.url, "postgres://db/booking_service?sslmode=require");
        assert_eq!(server.ca_file.as_deref(), Some(Path::new("/ca.pem")));
        let Log::Brokers { brokers, namespace } = elsewhere.log else { panic!() };
        assert_eq!((brokers.as_str(), namespace.as_str()), ("log:9092", "n-"));
        assert!(matches!(elsewhere.queue, Queue::Redis { namespace, .. } if namespace == "n-"));
        assert_eq!(elsewhere.provider, None);
    }

    #[test]
    fn the_audit_asks_for_every_database_that_a_service_has() {
        let mut named: Vec<_> =
            crate::topology::ROLES.iter().filter_map(|role| role.database).collect();
        let mut asked = DATABASES.to_vec();
        named.sort_unstable();
        asked.sort_unstable();
        assert_eq!(asked, named);
    }
}
