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
    bus::Bus,
    kv::Kv,
    tokens::{KeySource, Seal, Verifier},
};
use wire::{
    Mesh, MeshSettings, Wire,
    pb::auth::v1::{GetJwksRequest, auth_service_client::AuthServiceClient},
};

use crate::{
    Addresses, SANDBOX, Settings, StartError,
    secrets::{Secrets, bytes, hex_secret},
    topology::CALLS,
};

/// What the services of this process share.
pub(crate) struct Parts {
    pub settings: Settings,
    pub secrets: Secrets,
    pub state_directory: PathBuf,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    pub mesh: Mesh,
    /// Tasks of the parts themselves.
    pub tasks: Tasks,
    /// Demo organizers by title, while the demo is being made.
    pub demo_organizations: Vec<(&'static str, String)>,
    pub kv: Kv,
    pub bus: Bus,
    /// The deployment's secret.
    pub key: Secret<Vec<u8>>,
    pub addresses: BTreeMap<&'static str, Addresses>,
    databases: BTreeMap<String, db::Db>,
}

/// Databases of the parts that this process has instead of Redis and Kafka.
const KV_DATABASE: &str = "kv";
const BUS_DATABASE: &str = "bus";

impl Parts {
    /// Opens all databases and brings them up to date, then the parts.
    pub(crate) async fn open(
        mut settings: Settings,
        mut secrets: Secrets,
        state_directory: &Path,
        (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>),
        addresses: &BTreeMap<&'static str, Addresses>,
    ) -> Result<Self, StartError> {
        let key = match settings.process.secret.as_str() {
            "" => secrets.get("deployment", || hex_secret(&*ids))?,
            secret => Secret::new(secret.to_owned()),
        };
        if settings.process.sandbox && addresses.contains_key(SANDBOX) {
            point_at_sandbox(&mut settings, &mut secrets, &*ids, addresses)?;
        }
        let databases = open_databases(&settings, state_directory).await?;
        let part = |name: &str, error| StartError::build(name, error);
        let tasks = Tasks::new();
        let kv = Kv::memory(database(&databases, KV_DATABASE)?, clock.clone())
            .await
            .map_err(|error| part(KV_DATABASE, error))?;
        let bus = Bus::memory(database(&databases, BUS_DATABASE)?, tasks.clone())
            .await
            .map_err(|error| part(BUS_DATABASE, error))?;
        let mesh = Mesh::new(MeshSettings {
            key: bytes(&key),
            calls: CALLS,
            remotes: settings.remotes.clone(),
            tls: None,
            deadline: Duration::from_millis(settings.process.call_deadline_ms),
            clock: clock.clone(),
        })?;
        Ok(Self {
            key: bytes(&key),
            state_directory: state_directory.to_owned(),
            addresses: addresses.clone(),
            demo_organizations: Vec::new(),
            settings,
            secrets,
            clock,
            ids,
            mesh,
            tasks,
            kv,
            bus,
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

/// The payment service's provider is the sandbox of this process, with secrets of its own.
fn point_at_sandbox(
    settings: &mut Settings,
    secrets: &mut Secrets,
    ids: &dyn Ids,
    addresses: &BTreeMap<&'static str, Addresses>,
) -> Result<(), StartError> {
    let http = |name: &str| addresses.get(name).and_then(|its| its.http);
    let (Some(sandbox), Some(payment)) = (http(SANDBOX), http(payment::NAME)) else {
        return Err(StartError::build(
            SANDBOX,
            "needs listen.stripe-sandbox.http and listen.payment.http",
        ));
    };
    let secret_key = secrets.get("stripe secret key", || format!("sk_test_{}", hex_secret(ids)))?;
    let public_key = secrets.get("stripe public key", || format!("pk_test_{}", hex_secret(ids)))?;
    let webhook = secrets.get("stripe webhook secret", || format!("whsec_{}", hex_secret(ids)))?;
    let sandbox = format!("http://{sandbox}");
    let values = [
        ("payment.stripe_api_base", sandbox.clone()),
        ("payment.stripe_secret_key", secret_key.expose().clone()),
        ("payment.stripe_webhook_secret", webhook.expose().clone()),
        ("gateway.payment_api_base", sandbox),
        ("gateway.payment_publishable_key", public_key.expose().clone()),
        ("stripe-sandbox.secret_key", secret_key.expose().clone()),
        ("stripe-sandbox.publishable_key", public_key.expose().clone()),
        ("stripe-sandbox.webhook_secret", webhook.expose().clone()),
        ("stripe-sandbox.webhook_url", format!("http://{payment}/webhooks/stripe")),
    ];
    for (key, value) in values {
        settings.tree.set(key, &value)?;
    }
    Ok(())
}

/// Opens every database of this process, all at once, and brings their schemas up to date.
async fn open_databases(
    settings: &Settings,
    state_directory: &Path,
) -> Result<BTreeMap<String, db::Db>, StartError> {
    let sqlite = |name: &str| format!("sqlite:{}/{name}.sqlite", state_directory.display());
    let mut wanted = vec![(KV_DATABASE, sqlite(KV_DATABASE)), (BUS_DATABASE, sqlite(BUS_DATABASE))];
    for role in settings.roles()? {
        let Some(name) = role.database else { continue };
        let url = match settings.process.database.as_str() {
            "sqlite:" => sqlite(name),
            server => format!("{}/{name}", server.trim_end_matches('/')),
        };
        wanted.push((role.name, url));
    }
    if settings.process.sandbox && settings.roles()?.iter().any(|role| role.name == payment::NAME) {
        wanted.push((SANDBOX, sqlite("stripe_sandbox")));
    }
    let open = wanted.into_iter().map(|(name, url)| async move {
        let failed = |error| StartError::database(name, error);
        let db = db::Db::open(&db::Settings::new(url)).await.map_err(failed)?;
        db.migrate(migrations(name)).await.map_err(failed)?;
        Ok((name.to_owned(), db))
    });
    futures_util::future::try_join_all(open).await.map(BTreeMap::from_iter)
}

/// The tables of a database. The parts bring their own.
fn migrations(name: &str) -> &'static [&'static db::Migrations] {
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
