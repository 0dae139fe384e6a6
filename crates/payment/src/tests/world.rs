//! What the service's tests live in: a payment-service and a provider, each on a port and a
//! database of its own.

use std::{sync::Arc, time::Duration};

use db::Value;
use kernel::{
    AccountId, BookingId, Caller, Currency, Ids as _, Money, PaymentId, Role, Secret, SessionId,
};
use platform::{
    Metrics, Tasks,
    bus::PAYMENT_EVENTS,
    http::Nearby,
    outbox::Outbox,
    tokens::{Claims, SigningKey, Verifier, key_set},
};
use stripe_sandbox::{Controls, Worker};
use testkit::{ManualClock, SeededIds, TestDb};
use wire::Context;

use crate::{
    Config,
    app::App,
    domain::{Payment, Refund},
    http,
    ops::{self, CreateIntent, RefundPayment},
};

const SECRET_KEY: &str = "sk_test_1";
pub(crate) const WEBHOOK_SECRET: &str = "whsec_1";

/// A payment-service with its provider. Time moves by hand, webhooks come when [`World::webhooks`]
/// is called.
pub(crate) struct World {
    pub(crate) app: Arc<App>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) ids: Arc<SeededIds>,
    pub(crate) database: TestDb,
    /// Of payment-service's HTTP face.
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
    pub(crate) config: Config,
    signing: SigningKey,
    provider: String,
    worker: Worker,
    _provider_database: TestDb,
}

/// Runs a test on each engine.
pub(crate) async fn on_both(test: impl AsyncFn(&World)) {
    for database in testkit::databases(&[&platform::MIGRATIONS, &crate::MIGRATIONS]).await {
        test(&World::new(database).await).await;
    }
}

pub(crate) fn booking_service() -> Context {
    Context::new(Caller::Service("booking".into()), "correlation-1")
}

pub(crate) fn account(id: AccountId, role: Role) -> Context {
    let (organization, session) = (None, None);
    Context::new(Caller::Account { id, role, organization, session }, "correlation-2")
}

async fn bind() -> (tokio::net::TcpListener, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

fn serve(tasks: &Tasks, listener: tokio::net::TcpListener, router: axum::Router) {
    tasks.spawn("serve", async move { axum::serve(listener, router).await.unwrap() });
}

impl World {
    async fn new(database: TestDb) -> Self {
        let clock = Arc::new(ManualClock::default());
        let ids = Arc::new(SeededIds::new(7));
        let (tasks, metrics) = (Tasks::new(), Metrics::new());
        let (listener, url) = bind().await;
        let (provider_listener, provider) = bind().await;

        let provider_database = testkit::sqlite(&[&stripe_sandbox::MIGRATIONS]).await;
        let sandbox = stripe_sandbox::Config {
            secret_key: Secret::new(SECRET_KEY.into()),
            publishable_key: "pk_test_1".into(),
            public_url: String::new(),
            webhook_url: format!("{url}/webhooks/stripe"),
            webhook_events: vec!["*".into()],
            webhook_secret: Secret::new(WEBHOOK_SECRET.into()),
        };
        let db = provider_database.db.clone();
        let deps = stripe_sandbox::Deps {
            db,
            clock: clock.clone(),
            ids: ids.clone(),
            nearby: Nearby::default(),
        };
        let sandbox = stripe_sandbox::build(sandbox, deps).unwrap();
        serve(&tasks, provider_listener, sandbox.router);

        let config = config(&provider);
        let signing = SigningKey::from_pkcs8("key-1", &SigningKey::generate().unwrap()).unwrap();
        let keys = key_set(&[signing.jwk()]);
        let source = Arc::new(move || {
            let keys = keys.clone();
            Box::pin(async move { Ok(keys) }) as std::pin::Pin<Box<_>>
        });
        let access = Verifier::new(source, clock.clone());
        let outside = (clock.clone() as _, ids.clone() as _, access, Nearby::default());
        let own = (&metrics, &tasks, &Outbox::new(PAYMENT_EVENTS));
        let app = crate::app(config.clone(), database.db.clone(), outside, own).unwrap();
        let app = Arc::new(app);
        serve(&tasks, listener, http::routes(app.clone()));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let (worker, _provider_database) = (sandbox.worker, provider_database);
        Self {
            app,
            clock,
            ids,
            database,
            url,
            http,
            config,
            signing,
            provider,
            worker,
            _provider_database,
        }
    }

    /// An access token of `account`.
    pub(crate) fn token(&self, account: AccountId, role: Role) -> String {
        let now = self.app.now();
        let claims = Claims {
            account,
            session: SessionId::new(&*self.ids, now),
            role,
            organization: None,
            expires_at: now.plus(Duration::from_secs(900)),
        };
        self.signing.sign(&claims, now).unwrap()
    }

    pub(crate) fn command(&self) -> CreateIntent {
        CreateIntent {
            booking: BookingId::from_uuid(self.ids.uuid(self.app.now())),
            booking_reference: "BKG123".into(),
            account: AccountId::from_uuid(self.ids.uuid(self.app.now())),
            amount: Money::new(5_000, Currency::EUR),
        }
    }

    pub(crate) fn ids_uuid(&self) -> uuid::Uuid {
        self.ids.uuid(self.app.now())
    }

    /// A payment that waits for a card.
    pub(crate) async fn open(&self) -> Payment {
        let made = ops::create_intent(&self.app, &booking_service(), self.command()).await;
        made.unwrap()
    }

    /// A payment that a card has authorized, and whose webhook has come.
    pub(crate) async fn authorized(&self, card: &str) -> Payment {
        let payment = self.open().await;
        self.pay(&payment, card).await;
        self.webhooks().await;
        self.payment(payment.id).await
    }

    /// A payment whose money was taken.
    pub(crate) async fn captured(&self, card: &str) -> Payment {
        let payment = self.authorized(card).await;
        ops::capture_payment(&self.app, &booking_service(), payment.id).await.unwrap()
    }

    /// What the buyer's browser does; the provider's status code.
    pub(crate) async fn pay(&self, payment: &Payment, card: &str) -> u16 {
        let intent = payment.provider_reference.as_deref().unwrap();
        let secret = payment.client_secret.as_ref().unwrap().expose().as_str();
        let form = [("key", "pk_test_1"), ("client_secret", secret), ("payment_method", card)];
        let path = format!("{}/v1/payment_intents/{intent}/confirm", self.provider);
        self.http.post(path).form(&form).send().await.unwrap().status().as_u16()
    }

    /// A call to the provider past the service.
    pub(crate) async fn provider(&self, path: &str, form: &[(&str, &str)]) -> serde_json::Value {
        let url = format!("{}{path}", self.provider);
        let request = if form.is_empty() { self.http.get(url) } else { self.http.post(url) };
        let answer = request.bearer_auth(SECRET_KEY).form(form).send().await.unwrap();
        answer.json().await.unwrap()
    }

    pub(crate) async fn controls(&self, controls: Controls) {
        let url = format!("{}/sandbox/controls", self.provider);
        self.http.post(url).json(&controls).send().await.unwrap().error_for_status().unwrap();
    }

    /// Has the provider send what is due.
    pub(crate) async fn webhooks(&self) {
        while self.worker.run_due().await.unwrap() > 0 {}
    }

    pub(crate) async fn refund(
        &self,
        payment: PaymentId,
        minor: i64,
        key: &str,
    ) -> Result<Refund, kernel::Failure> {
        let command = RefundPayment {
            payment,
            amount_minor: minor,
            reason: "cancelled".into(),
            idempotency_key: key.into(),
        };
        let done = ops::refund_payment(&self.app, &booking_service(), command).await;
        done.map(|(refund, _)| refund)
    }

    pub(crate) async fn payment(&self, id: PaymentId) -> Payment {
        ops::get_payment(&self.app, &booking_service(), id).await.unwrap()
    }

    /// Moves time on and does what is due then.
    pub(crate) async fn reconcile_after(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        ops::reconcile_payments(self.app.clone()).await.unwrap();
        ops::reconcile_refunds(self.app.clone()).await.unwrap();
    }

    /// The kinds of the events written so far, in order.
    pub(crate) async fn events(&self) -> Vec<String> {
        self.texts("select kind from boxoffice_outbox order by seq", Vec::new()).await
    }

    /// The states that a payment went through.
    pub(crate) async fn history(&self, id: PaymentId) -> Vec<String> {
        let sql = "select to_state from payment_transitions where payment_id = $1
            order by number";
        self.texts(sql, vec![id.into()]).await
    }

    pub(crate) async fn texts(&self, sql: &'static str, params: Vec<Value>) -> Vec<String> {
        let found = self.database.db.read(move |tx| {
            let params = params.clone();
            Box::pin(async move {
                let rows = tx.query(sql, &params).await?;
                rows.iter().map(|row| row.get(0)).collect::<Result<Vec<String>, db::Error>>()
            })
        });
        found.await.unwrap()
    }

    /// The payment whose intent we have not heard of.
    pub(crate) async fn half_made(&self) -> PaymentId {
        let sql = "select payment_id from payments where provider_reference is null";
        let found = self.database.db.read(move |tx| {
            Box::pin(async move { tx.query_one(sql, &[]).await?.get::<PaymentId>(0) })
        });
        found.await.unwrap_or_else(|error: db::Error| panic!("{error}"))
    }

    pub(crate) async fn execute(&self, sql: &'static str) -> u64 {
        let written: Result<u64, db::Error> = self
            .database
            .db
            .write(move |tx| Box::pin(async move { tx.execute(sql, &[]).await }))
            .await;
        written.unwrap()
    }
}

fn config(provider: &str) -> Config {
    Config {
        stripe_api_base: provider.to_owned(),
        stripe_secret_key: Secret::new(SECRET_KEY.into()),
        stripe_webhook_secret: Secret::new(WEBHOOK_SECRET.into()),
        provider_timeout_ms: 5_000,
        lease_seconds: 60,
        reconcile_after_seconds: 30,
        reconcile_at_most_seconds: 3_600,
        due_period_ms: 1_000,
        due_batch: 32,
        keep_log_days: 90,
        max_batch: 256,
        max_waiting: 16_384,
        lanes: 2,
    }
}
