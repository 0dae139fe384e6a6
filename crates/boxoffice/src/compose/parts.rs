//! What the services of a process share: databases, mesh, key-value parts, event log, secrets.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use kernel::{Clock, Ids, Secret};
use platform::{
    Tasks,
    bus::{Bus, KafkaSettings},
    http::Nearby,
    kv::{Kv, RedisSettings},
    tokens::{KeySource, Seal, Verifier},
};
use wire::{
    Mesh, MeshSettings, Tls, Wire,
    pb::auth::v1::{GetJwksRequest, client::AuthServiceClient},
};

use crate::{
    Addresses, SANDBOX, Settings, StartError,
    secrets::{self, Secrets},
    settings::{MEMORY, TlsFiles, on_server},
    topology::CALLS,
};

/// What the services of this process share.
pub(crate) struct Parts {
    pub settings: Settings,
    /// Where this process keeps what it keeps; none where all is kept elsewhere.
    pub state_directory: Option<PathBuf>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    pub mesh: Mesh,
    /// Tasks of the parts themselves.
    pub tasks: Tasks,
    pub kv: Kv,
    pub bus: Bus,
    /// The deployment's secret.
    pub key: Secret<Vec<u8>>,
    pub addresses: BTreeMap<&'static str, Addresses>,
    /// The HTTP faces of this process.
    pub nearby: Nearby,
    databases: BTreeMap<String, db::Db>,
}

/// Databases of the parts that this process has instead of Redis and Kafka.
const KV_DATABASE: &str = "kv";
const BUS_DATABASE: &str = "bus";

impl Parts {
    /// Opens all databases and brings them up to date, then the parts.
    pub(crate) async fn open(
        mut settings: Settings,
        state_directory: Option<&Path>,
        (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>),
        addresses: &BTreeMap<&'static str, Addresses>,
    ) -> Result<Self, StartError> {
        let key = deployment_key(&settings, state_directory, &*ids)?;
        point_at_sandbox(&mut settings, &key, addresses)?;
        let mesh = mesh(&settings, &key, clock.clone())?;
        let databases = open_databases(&settings, state_directory).await?;
        let tasks = Tasks::new();
        let kv = open_kv(&settings, &databases, clock.clone(), &tasks).await?;
        let bus = open_bus(&settings, &databases, &tasks).await?;
        let state_directory = state_directory.map(Path::to_owned);
        let addresses = addresses.clone();
        Ok(Self {
            settings,
            state_directory,
            clock,
            ids,
            mesh,
            tasks,
            kv,
            bus,
            key,
            addresses,
            nearby: Nearby::default(),
            databases,
        })
    }

    /// All databases, to be closed in the end.
    pub(crate) fn databases(&self) -> Vec<db::Db> {
        self.databases.values().cloned().collect()
    }

    pub(crate) fn db(&self, service: &str) -> Result<db::Db, StartError> {
        database(&self.databases, service)
    }

    pub(crate) fn config<T: serde::de::DeserializeOwned>(
        &self,
        service: &str,
    ) -> Result<T, StartError> {
        Ok(self.settings.tree.section(service)?)
    }

    pub(crate) fn wire(&self, from: &str, to: &str) -> Result<Wire, StartError> {
        Ok(self.mesh.wire(from, to)?)
    }

    pub(crate) fn seal(&self) -> Seal {
        Seal::new(&self.key)
    }

    /// Verifies access tokens with auth-service's public keys, for `service`.
    pub(crate) fn access(&self, service: &str) -> Result<Verifier, StartError> {
        let auth = self.wire(service, "auth")?;
        let source: KeySource = Arc::new(move || {
            let mut client = AuthServiceClient::new(auth.clone());
            Box::pin(async move {
                let keys = client.get_jwks(GetJwksRequest {}).await;
                keys.map(|keys| keys.into_inner().jwks_json)
                    .map_err(|status| wire::failure(&status))
            })
        });
        Ok(Verifier::new(source, self.clock.clone()))
    }
}

fn database(databases: &BTreeMap<String, db::Db>, name: &str) -> Result<db::Db, StartError> {
    databases.get(name).cloned().ok_or_else(|| StartError::build(name, "has no database"))
}

/// The secret that all processes of the deployment share: configured, or made at the first start
/// and kept.
pub(crate) fn deployment_key(
    settings: &Settings,
    state_directory: Option<&Path>,
    ids: &dyn Ids,
) -> Result<Secret<Vec<u8>>, StartError> {
    let configured = &settings.process.secret;
    if !configured.is_empty() {
        return Ok(secrets::bytes(&Secret::new(configured.clone())));
    }
    let Some(directory) = state_directory else {
        return Err(StartError::build("boxoffice.secret", "is not set"));
    };
    let secret = Secrets::open(directory)?.get("deployment", || secrets::hex_secret(ids))?;
    Ok(secrets::bytes(&secret))
}

/// How services reach each other, by this configuration.
pub(crate) fn mesh(
    settings: &Settings,
    key: &Secret<Vec<u8>>,
    clock: Arc<dyn Clock>,
) -> Result<Mesh, StartError> {
    Ok(Mesh::new(MeshSettings {
        key: key.clone(),
        calls: CALLS,
        remotes: settings.remotes.clone(),
        tls: settings.tls.as_ref().map(read_tls).transpose()?,
        deadline: Duration::from_millis(settings.process.call_deadline_ms),
        clock,
    })?)
}

/// What the files of the section `[tls]` hold.
pub(crate) fn read_tls(files: &TlsFiles) -> Result<Tls, StartError> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| StartError::state(path, &error));
    Ok(Tls {
        ca: read(&files.ca)?,
        certificate: read(&files.certificate)?,
        key: Secret::new(read(&files.key)?),
    })
}

/// The key-value parts that the configuration names.
pub(crate) async fn open_kv(
    settings: &Settings,
    databases: &BTreeMap<String, db::Db>,
    clock: Arc<dyn Clock>,
    tasks: &Tasks,
) -> Result<Kv, StartError> {
    let opened = match settings.process.kv.as_str() {
        MEMORY => Kv::memory(database(databases, KV_DATABASE)?, clock).await,
        url => {
            let namespace = settings.process.namespace.clone();
            let redis = RedisSettings { url: Secret::new(url.to_owned()), namespace };
            Kv::redis(&redis, tasks).await
        }
    };
    opened.map_err(|error| StartError::build("boxoffice.kv", error))
}

/// The event log that the configuration names.
pub(crate) async fn open_bus(
    settings: &Settings,
    databases: &BTreeMap<String, db::Db>,
    tasks: &Tasks,
) -> Result<Bus, StartError> {
    let opened = match settings.brokers() {
        None => Bus::memory(database(databases, BUS_DATABASE)?, tasks.clone()).await,
        Some(brokers) => {
            let process = &settings.process;
            let kafka = KafkaSettings {
                namespace: process.namespace.clone(),
                partitions: process.bus_partitions,
                replication: process.bus_replication,
                ..KafkaSettings::new(brokers)
            };
            Bus::kafka(&kafka, tasks).await
        }
    };
    opened.map_err(|error| StartError::build("boxoffice.bus", error))
}

/// Where the sandbox is the payment provider, its keys are made from the deployment's secret, so
/// that all processes agree on them; and its addresses are known where it runs in this process.
/// What is configured stays.
fn point_at_sandbox(
    settings: &mut Settings,
    key: &Secret<Vec<u8>>,
    addresses: &BTreeMap<&'static str, Addresses>,
) -> Result<(), StartError> {
    if !settings.process.sandbox {
        return Ok(());
    }
    let made = |kind: &str, name: &str| format!("{kind}_{}", secrets::derived(key, name));
    let secret = made("sk_test", "stripe secret key");
    let public = made("pk_test", "stripe public key");
    let webhook = made("whsec", "stripe webhook secret");
    let mut values = vec![
        ("payment.stripe_secret_key", secret.clone()),
        ("payment.stripe_webhook_secret", webhook.clone()),
        ("gateway.payment_publishable_key", public.clone()),
        ("stripe-sandbox.secret_key", secret),
        ("stripe-sandbox.publishable_key", public),
        ("stripe-sandbox.webhook_secret", webhook),
    ];
    let http = |name: &str| addresses.get(name).and_then(|its| its.http);
    if let Some(payment) = http(payment::NAME) {
        values.push(("stripe-sandbox.webhook_url", format!("http://{payment}/webhooks/stripe")));
    }
    values.retain(|(name, _)| is_empty(settings, name));
    if let Some(sandbox) = http(SANDBOX) {
        let sandbox = format!("http://{sandbox}");
        values.push(("payment.stripe_api_base", sandbox.clone()));
        values.push(("gateway.payment_api_base", sandbox));
    }
    for (name, value) in values {
        settings.tree.set(name, &value)?;
    }
    Ok(())
}

fn is_empty(settings: &Settings, name: &str) -> bool {
    let Some((section, key)) = name.split_once('.') else { return false };
    let values = settings.tree.section::<BTreeMap<String, toml::Value>>(section);
    let value = values.ok().and_then(|values| values.get(key).cloned());
    value.is_some_and(|value| value.as_str() == Some(""))
}

/// The databases of this process with their settings: one for each service, and those of the parts
/// that are in this process.
pub(crate) fn database_settings(
    settings: &Settings,
    state_directory: Option<&Path>,
) -> Result<Vec<(&'static str, db::Settings)>, StartError> {
    let process = &settings.process;
    let sqlite = |name: &str| match state_directory {
        Some(directory) => Ok(format!("sqlite:{}/{name}.sqlite", directory.display())),
        None => Err(StartError::build(name, "is kept in a file, and there is no state directory")),
    };
    let mut wanted = Vec::new();
    for (name, url) in [(KV_DATABASE, &process.kv), (BUS_DATABASE, &process.bus)] {
        if url == MEMORY {
            wanted.push((name, db::Settings::new(sqlite(name)?)));
        }
    }
    for role in settings.roles()? {
        let Some(name) = role.database else { continue };
        if process.database == "sqlite:" {
            wanted.push((role.name, db::Settings::new(sqlite(name)?)));
            continue;
        }
        let replica = Some(&process.replica).filter(|url| !url.is_empty());
        let ca = Some(&process.database_ca).filter(|path| !path.is_empty());
        wanted.push((
            role.name,
            db::Settings {
                replica: replica.map(|url| Secret::new(on_server(url, name))),
                transaction_pooling: process.transaction_pooling,
                ca_file: ca.map(PathBuf::from),
                max_connections: process.database_connections,
                statement_timeout_ms: process.statement_timeout_ms,
                lock_timeout_ms: process.lock_timeout_ms,
                ..db::Settings::new(on_server(&process.database, name))
            },
        ));
    }
    // Who only looks at what services share has no state directory.
    if settings.runs_sandbox() && state_directory.is_some() {
        wanted.push((SANDBOX, db::Settings::new(sqlite("stripe_sandbox")?)));
    }
    Ok(wanted)
}

/// Opens every database of this process, all at once, and brings their schemas up to date.
async fn open_databases(
    settings: &Settings,
    state_directory: Option<&Path>,
) -> Result<BTreeMap<String, db::Db>, StartError> {
    let wanted = database_settings(settings, state_directory)?;
    let open = wanted.into_iter().map(|(name, settings)| async move {
        let failed = |error| StartError::database(name, error);
        let db = db::Db::open(&settings).await.map_err(failed)?;
        db.migrate(migrations(name)).await.map_err(failed)?;
        Ok((name.to_owned(), db))
    });
    futures_util::future::try_join_all(open).await.map(BTreeMap::from_iter)
}

/// The tables of a database. The parts bring their own.
pub(crate) fn migrations(name: &str) -> &'static [&'static db::Migrations] {
    const PLATFORM: &db::Migrations = &platform::MIGRATIONS;
    match name {
        auth::NAME => &[PLATFORM, &auth::MIGRATIONS],
        user::NAME => &[PLATFORM, &user::MIGRATIONS],
        event::NAME => &[PLATFORM, &event::MIGRATIONS],
        ticket::NAME => &[PLATFORM, &ticket::MIGRATIONS],
        booking::NAME => &[PLATFORM, &booking::MIGRATIONS],
        payment::NAME => &[PLATFORM, &payment::MIGRATIONS],
        email_worker::NAME => &[PLATFORM, &email_worker::MIGRATIONS],
        SANDBOX => &[&stripe_sandbox::MIGRATIONS],
        _ => &[],
    }
}
