//! The sandbox as its clients see it: over HTTP, on a port and a database of its own.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use crate::{
    Config, Controls, Deps, MIGRATIONS, Sandbox, Worker, build, objects::API_VERSION, signature,
    store,
};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use db::Migrations;
use kernel::{Clock, Secret};
use platform::http::Nearby;
use serde_json::{Value, json};
use testkit::{ManualClock, SeededIds, TestDb};

const SECRET_KEY: &str = "sk_test_1";
const PUBLISHABLE_KEY: &str = "pk_test_1";
const WEBHOOK_SECRET: &str = "whsec_1";

/// A webhook endpoint that keeps what it gets, and fails as often as told.
#[derive(Default)]
struct Endpoint {
    received: Mutex<Vec<(String, Value)>>,
    failures: AtomicU32,
}

impl Endpoint {
    fn types(&self) -> Vec<String> {
        let received = self.received.lock().unwrap();
        received.iter().map(|(_, event)| event["type"].as_str().unwrap().to_owned()).collect()
    }
}

async fn receive(
    State(endpoint): State<Arc<Endpoint>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let header = headers["stripe-signature"].to_str().unwrap();
    let seconds = header.strip_prefix("t=").unwrap().split(',').next().unwrap().parse().unwrap();
    let expected = signature(&Secret::new(WEBHOOK_SECRET.into()), seconds, &body);
    assert_eq!(header, expected);
    let failures = &endpoint.failures;
    if failures.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let event = serde_json::from_slice(&body).unwrap();
    endpoint.received.lock().unwrap().push((header.to_owned(), event));
    StatusCode::OK
}

async fn listen(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "the server lives as long as the test's runtime"
    )]
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

struct Fixture {
    url: String,
    http: reqwest::Client,
    worker: Worker,
    clock: Arc<ManualClock>,
    endpoint: Arc<Endpoint>,
    database: TestDb,
}

impl Fixture {
    async fn new(database: TestDb) -> Self {
        Self::telling(&["*"], database).await
    }

    /// With an endpoint that is sent these kinds of events.
    async fn telling(kinds: &[&str], database: TestDb) -> Self {
        let clock = Arc::new(ManualClock::default());
        let endpoint = Arc::new(Endpoint::default());
        let hook = Router::new().route("/hook", post(receive)).with_state(endpoint.clone());
        let hook = format!("{}/hook", listen(hook).await);
        let config = Config {
            secret_key: Secret::new(SECRET_KEY.into()),
            publishable_key: PUBLISHABLE_KEY.into(),
            public_url: "http://sandbox.test".into(),
            webhook_url: hook,
            webhook_events: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            webhook_secret: Secret::new(WEBHOOK_SECRET.into()),
        };
        let ids = Arc::new(SeededIds::new(7));
        let deps =
            Deps { db: database.db.clone(), clock: clock.clone(), ids, nearby: Nearby::default() };
        let Sandbox { router, worker } = build(config, deps).unwrap();
        let url = listen(router).await;
        let redirects = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder().no_proxy().redirect(redirects).build().unwrap();
        Self { url, http, worker, clock, endpoint, database }
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let (status, _, body) = self.post_keyed(path, form, None).await;
        (status, body)
    }

    async fn post_keyed(
        &self,
        path: &str,
        form: &[(&str, &str)],
        key: Option<&str>,
    ) -> (u16, bool, Value) {
        let request = self.http.post(format!("{}{path}", self.url)).bearer_auth(SECRET_KEY);
        let mut request = request.form(form);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let answer = request.send().await.unwrap();
        let replayed = answer.headers().contains_key("idempotent-replayed");
        (answer.status().as_u16(), replayed, answer.json().await.unwrap())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let request = self.http.get(format!("{}{path}", self.url));
        let answer = request.basic_auth(SECRET_KEY, Some("")).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn intent(&self, method: &str) -> Value {
        let form = [
            ("amount", "5000"),
            ("currency", "EUR"),
            ("capture_method", method),
            ("metadata[booking_id]", "b1"),
        ];
        let (status, intent) = self.post("/v1/payment_intents", &form).await;
        assert_eq!((status, &intent["status"]), (200, &"requires_payment_method".into()));
        intent
    }

    async fn confirm(&self, intent: &Value, card: &str) -> (u16, Value) {
        let path = format!("/v1/payment_intents/{}/confirm", id(intent));
        self.post(&path, &[("payment_method", card)]).await
    }

    async fn verb(&self, intent: &Value, verb: &str, form: &[(&str, &str)]) -> (u16, Value) {
        self.post(&format!("/v1/payment_intents/{}/{verb}", id(intent)), form).await
    }

    async fn controls(&self, controls: Controls) {
        let url = format!("{}/sandbox/controls", self.url);
        let answer = self.http.post(url).json(&controls).send().await.unwrap();
        assert!(answer.status().is_success());
    }

    /// Does all that is due now.
    async fn drain(&self) {
        while self.worker.run_due().await.unwrap() > 0 {}
    }
}

fn id(object: &Value) -> &str {
    object["id"].as_str().unwrap()
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["error"]["code"].as_str().unwrap_or_default())
}

/// Runs a test on each engine.
async fn on_both(test: impl AsyncFn(&Fixture)) {
    for database in testkit::databases(&[&MIGRATIONS]).await {
        test(&Fixture::new(database).await).await;
    }
}

#[tokio::test]
async fn a_manual_payment_is_authorized_then_captured_once() {
    on_both(async |f| {
        let intent = f.intent("manual").await;
        assert_eq!(intent["currency"], "eur");
        assert_eq!(intent["metadata"]["booking_id"], "b1");
        assert_eq!(
            code(&f.verb(&intent, "capture", &[]).await).1,
            "payment_intent_unexpected_state"
        );

        let (status, authorized) = f.confirm(&intent, "pm_card_visa").await;
        assert_eq!((status, &authorized["status"]), (200, &"requires_capture".into()));
        assert_eq!(authorized["amount_capturable"], 5000);
        let again = f.confirm(&intent, "pm_card_visa").await;
        assert_eq!(code(&again), (400, "payment_intent_unexpected_state"));
        assert_eq!(again.1["error"]["payment_intent"]["status"], "requires_capture");

        let too_much = f.verb(&intent, "capture", &[("amount_to_capture", "5001")]).await;
        assert_eq!(code(&too_much), (400, "amount_too_large"));
        let (status, captured) = f.verb(&intent, "capture", &[("amount_to_capture", "4000")]).await;
        assert_eq!((status, &captured["status"]), (200, &"succeeded".into()));
        assert_eq!(captured["amount_received"], 4000);
        assert_eq!(code(&f.verb(&intent, "cancel", &[]).await).0, 400);

        let path = format!("/v1/payment_intents/{}?expand[]=latest_charge", id(&intent));
        let (_, expanded) = f.get(&path).await;
        assert_eq!(expanded["latest_charge"]["amount_captured"], 4000);
        f.drain().await;
        let mut types = f.endpoint.types();
        types.sort();
        assert_eq!(
            types,
            [
                "charge.captured",
                "charge.succeeded",
                "payment_intent.amount_capturable_updated",
                "payment_intent.created",
                "payment_intent.succeeded",
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn of_those_who_change_a_payment_at_once_one_does() {
    on_both(async |f| {
        for _ in 0..20 {
            let intent = f.intent("manual").await;
            f.confirm(&intent, "pm_card_visa").await;
            let (one, two, three) = tokio::join!(
                f.verb(&intent, "capture", &[]),
                f.verb(&intent, "cancel", &[]),
                f.verb(&intent, "capture", &[]),
            );
            let mut ended = [one.0, two.0, three.0];
            ended.sort_unstable();
            assert_eq!(ended, [200, 400, 400], "{one:?} {two:?} {three:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_declined_card_leaves_the_intent_open_for_another() {
    on_both(async |f| {
        let intent = f.intent("automatic").await;
        let declined = f.confirm(&intent, "pm_card_chargeDeclinedInsufficientFunds").await;
        assert_eq!(code(&declined), (402, "card_declined"));
        let error = &declined.1["error"];
        assert_eq!(error["type"], "card_error");
        assert_eq!(error["decline_code"], "insufficient_funds");
        assert_eq!(error["payment_intent"]["status"], "requires_payment_method");
        assert_eq!(
            error["payment_intent"]["last_payment_error"]["decline_code"],
            "insufficient_funds"
        );
        let (status, paid) = f.confirm(&intent, "pm_card_mastercard").await;
        assert_eq!((status, &paid["status"]), (200, &"succeeded".into()));
        assert_eq!(paid["last_payment_error"], Value::Null);
        f.drain().await;
        let types = f.endpoint.types();
        assert!(types.contains(&"payment_intent.payment_failed".into()), "{types:?}");
        assert!(types.contains(&"payment_intent.succeeded".into()), "{types:?}");
    })
    .await;
}

#[tokio::test]
async fn a_browser_pays_with_a_card_number_and_authenticates() {
    on_both(async |f| {
        let intent = f.intent("manual").await;
        let path = format!("{}/v1/payment_intents/{}/confirm", f.url, id(&intent));
        let form = |secret: &str| {
            [
                ("key", PUBLISHABLE_KEY.to_owned()),
                ("client_secret", secret.to_owned()),
                ("payment_method_data[type]", "card".to_owned()),
                ("payment_method_data[card][number]", "4000 0025 0000 3155".to_owned()),
                ("return_url", "http://shop.test/done?x=1".to_owned()),
            ]
        };
        let wrong = f.http.post(&path).form(&form("guess")).send().await.unwrap();
        assert_eq!(wrong.status(), 400);
        let secret = intent["client_secret"].as_str().unwrap();
        let answer = f.http.post(&path).form(&form(secret)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let waiting: Value = answer.json().await.unwrap();
        assert_eq!(waiting["status"], "requires_action");
        let page = waiting["next_action"]["redirect_to_url"]["url"].as_str().unwrap();
        assert_eq!(page, format!("http://sandbox.test/sandbox/3ds/{}", id(&intent)));

        let bank = format!("{}/sandbox/3ds/{}", f.url, id(&intent));
        assert_eq!(f.http.get(&bank).send().await.unwrap().status(), 200);
        let back = f.http.post(format!("{bank}?answer=deny")).send().await.unwrap();
        let location = back.headers()["location"].to_str().unwrap().to_owned();
        assert!(location.starts_with("http://shop.test/done?x=1&payment_intent=pi_"), "{location}");
        assert!(location.ends_with("redirect_status=failed"), "{location}");
        let (_, open) = f.get(&format!("/v1/payment_intents/{}", id(&intent))).await;
        assert_eq!(open["status"], "requires_payment_method");
        assert_eq!(open["last_payment_error"]["code"], "payment_intent_authentication_failure");

        f.http.post(&path).form(&form(secret)).send().await.unwrap();
        let back = f.http.post(format!("{bank}?answer=approve")).send().await.unwrap();
        assert!(
            back.headers()["location"].to_str().unwrap().ends_with("redirect_status=succeeded")
        );
        let (_, paid) = f.get(&format!("/v1/payment_intents/{}", id(&intent))).await;
        assert_eq!(paid["status"], "requires_capture");
        let again = f.http.post(format!("{bank}?answer=approve")).send().await.unwrap();
        assert_eq!(again.status(), 409);
    })
    .await;
}

type Form = &'static [(&'static str, &'static str)];

#[tokio::test]
async fn wrong_calls_get_stripes_errors_and_change_nothing() {
    on_both(async |f| {
        let create = "/v1/payment_intents";
        let cases: [(Form, &str, &str); 7] = [
            (&[("currency", "eur")], "parameter_missing", "amount"),
            (&[("amount", "100")], "parameter_missing", "currency"),
            (&[("amount", "1.5"), ("currency", "eur")], "parameter_invalid_integer", "amount"),
            (&[("amount", "-5"), ("currency", "eur")], "parameter_invalid_integer", "amount"),
            (&[("amount", "49"), ("currency", "eur")], "amount_too_small", "amount"),
            (&[("amount", "100000000"), ("currency", "eur")], "amount_too_large", "amount"),
            (
                &[("amount", "100"), ("currency", "eur"), ("amont", "1")],
                "parameter_unknown",
                "amont",
            ),
        ];
        for (form, expected, param) in cases {
            let answer = f.post(create, form).await;
            assert_eq!(code(&answer), (400, expected));
            assert_eq!(answer.1["error"]["param"], *param);
        }
        assert_eq!(code(&f.get("/v1/payment_intents/pi_nope").await), (404, "resource_missing"));
        assert_eq!(f.get("/v1/nothing").await.0, 404);
        for key in ["sk_test_2", ""] {
            let request = f.http.post(format!("{}{create}", f.url)).bearer_auth(key);
            assert_eq!(request.send().await.unwrap().status(), 401, "{key}");
        }
        let request = f.http.get(format!("{}{create}", f.url)).bearer_auth(PUBLISHABLE_KEY);
        assert_eq!(request.send().await.unwrap().status(), 403);
        assert_eq!(f.get(create).await.1["data"], Value::Array(vec![]));
    })
    .await;
}

#[tokio::test]
async fn an_idempotency_key_stands_for_one_answer_for_a_day() {
    on_both(async |f| {
        let create = "/v1/payment_intents";
        let form = [("amount", "700"), ("currency", "eur")];
        let (status, replayed, first) = f.post_keyed(create, &form, Some("k1")).await;
        assert_eq!((status, replayed), (200, false));
        assert_eq!(f.post_keyed(create, &form, Some("k1")).await, (200, true, first.clone()));
        let other = [("amount", "800"), ("currency", "eur")];
        let (status, _, body) = f.post_keyed(create, &other, Some("k1")).await;
        assert_eq!((status, &body["error"]["type"]), (400, &"idempotency_error".into()));

        let confirm = format!("{create}/{}/confirm", id(&first));
        let card = [("payment_method", "pm_card_chargeDeclined")];
        let declined = f.post_keyed(&confirm, &card, Some("k2")).await;
        assert_eq!((declined.0, declined.1), (402, false));
        assert_eq!(f.post_keyed(&confirm, &card, Some("k2")).await, (402, true, declined.2));

        f.controls(Controls { fail_after: 1, ..Controls::default() }).await;
        assert_eq!(f.post_keyed(create, &form, Some("k3")).await.0, 500);
        assert!(f.post_keyed(create, &form, Some("k3")).await.1, "it had taken effect");
        assert_eq!(f.get(create).await.1["data"].as_array().unwrap().len(), 2);

        f.clock.advance(Duration::from_secs(24 * 3_600 + 1));
        let (_, replayed, later) = f.post_keyed(create, &form, Some("k1")).await;
        assert!(!replayed && later["id"] != first["id"]);
    })
    .await;
}

#[tokio::test]
async fn refunds_never_exceed_what_was_captured() {
    on_both(async |f| {
        let intent = f.intent("automatic").await;
        let refund = async |amount: &str| {
            let form = [("payment_intent", id(&intent)), ("amount", amount)];
            f.post("/v1/refunds", &form).await
        };
        assert_eq!(code(&refund("100").await).1, "payment_intent_unexpected_state");
        f.confirm(&intent, "pm_card_visa").await;
        assert_eq!(code(&refund("5001").await), (400, "amount_too_large"));
        assert_eq!(code(&refund("0").await), (400, "parameter_invalid_integer"));
        let (status, first) = refund("2000").await;
        assert_eq!((status, &first["status"]), (200, &"succeeded".into()));
        assert_eq!(code(&refund("3001").await), (400, "amount_too_large"));
        let rest = f.post("/v1/refunds", &[("payment_intent", id(&intent))]).await;
        assert_eq!(rest.1["amount"], 3000);
        assert_eq!(code(&refund("1").await), (400, "charge_already_refunded"));
        let (_, list) = f.get(&format!("/v1/refunds?payment_intent={}&limit=1", id(&intent))).await;
        assert_eq!((id(&list["data"][0]), &list["has_more"]), (id(&rest.1), &true.into()));
        let next =
            format!("/v1/refunds?payment_intent={}&starting_after={}", id(&intent), id(&rest.1));
        assert_eq!(id(&f.get(&next).await.1["data"][0]), id(&first));
        let (_, charge) =
            f.get(&format!("/v1/charges/{}", first["charge"].as_str().unwrap())).await;
        assert_eq!((&charge["refunded"], &charge["amount_refunded"]), (&true.into(), &5000.into()));
    })
    .await;
}

#[tokio::test]
async fn a_refund_may_settle_or_fail_later() {
    on_both(async |f| {
        for (card, first, last) in [
            ("pm_card_pendingRefund", "pending", "succeeded"),
            ("pm_card_refundFail", "succeeded", "failed"),
        ] {
            let intent = f.intent("automatic").await;
            f.confirm(&intent, card).await;
            let (_, refund) = f.post("/v1/refunds", &[("payment_intent", id(&intent))]).await;
            assert_eq!(refund["status"], first);
            f.clock.advance(Duration::from_secs(2));
            let now = f.clock.now();
            let due = f.database.db.read(move |tx| Box::pin(store::due(tx, now, 10)));
            let due: Result<_, db::Error> = due.await;
            for work in due.unwrap() {
                // As after a crash between doing it and striking it out.
                assert!(f.worker.try_once(&work).await && f.worker.try_once(&work).await);
            }
            f.drain().await;
            let (_, settled) = f.get(&format!("/v1/refunds/{}", id(&refund))).await;
            assert_eq!(settled["status"], last);
        }
        assert!(f.endpoint.types().contains(&"refund.failed".into()));
    })
    .await;
}

#[tokio::test]
async fn webhooks_are_repeated_until_answered_also_after_a_restart() {
    on_both(async |f| {
        f.endpoint.failures.store(2, SeqCst);
        f.intent("manual").await;
        f.drain().await;
        assert!(f.endpoint.types().is_empty(), "the first try fails, the second is not due yet");
        f.clock.advance(Duration::from_secs(1));
        f.drain().await;
        f.clock.advance(Duration::from_secs(1));
        f.drain().await;
        assert!(
            f.endpoint.types().is_empty(),
            "the second try failed, the third comes after two seconds"
        );
        f.clock.advance(Duration::from_secs(1));

        // Another sandbox on the same database: what was due there is due here.
        let endpoint = Arc::new(Endpoint::default());
        let hook = Router::new().route("/hook", post(receive)).with_state(endpoint.clone());
        let config = Config {
            secret_key: Secret::new(SECRET_KEY.into()),
            publishable_key: PUBLISHABLE_KEY.into(),
            public_url: String::new(),
            webhook_url: format!("{}/hook", listen(hook).await),
            webhook_events: vec!["*".into()],
            webhook_secret: Secret::new(WEBHOOK_SECRET.into()),
        };
        let ids = Arc::new(SeededIds::new(99));
        let db = f.database.open_again().await;
        let deps = Deps { db, clock: f.clock.clone(), ids, nearby: Nearby::default() };
        let restarted = build(config, deps).unwrap();
        assert_eq!(restarted.worker.run_due().await.unwrap(), 1);
        assert_eq!(endpoint.types(), ["payment_intent.created"]);
        assert_eq!(restarted.worker.run_due().await.unwrap(), 0, "answered once, sent no more");
    })
    .await;
}

#[tokio::test]
async fn webhooks_come_late_twice_or_in_reverse_where_told() {
    on_both(async |f| {
        let controls = Controls { copies: 2, delay_ms: 500, ..Controls::default() };
        f.controls(Controls { reverse: true, ..controls }).await;
        let intent = f.intent("automatic").await;
        f.confirm(&intent, "pm_card_visa").await;
        f.drain().await;
        assert!(f.endpoint.types().is_empty(), "not before the delay");
        f.clock.advance(Duration::from_millis(500));
        f.drain().await;
        let types = f.endpoint.types();
        assert_eq!(types.len(), 6);
        assert_eq!(types[..2], ["payment_intent.succeeded", "payment_intent.succeeded"]);
        assert_eq!(types[5], "payment_intent.created");

        f.controls(Controls { lose: true, ..Controls::default() }).await;
        f.intent("automatic").await;
        f.drain().await;
        assert_eq!(f.endpoint.types().len(), 6, "lost on the way");
        let (_, events) = f.get("/v1/events?type=payment_intent.created").await;
        assert_eq!(events["data"].as_array().unwrap().len(), 2, "but it happened");
        let path = format!("{}/sandbox/events/{}/deliver", f.url, id(&events["data"][0]));
        f.http.post(path).send().await.unwrap();
        f.drain().await;
        assert_eq!(f.endpoint.types().len(), 7);
    })
    .await;
}

#[tokio::test]
async fn an_endpoint_is_sent_the_kinds_of_events_that_it_is_meant_for() {
    for database in testkit::databases(&[&MIGRATIONS]).await {
        let kinds = ["payment_intent.succeeded", "charge.failed"];
        let f = Fixture::telling(&kinds, database).await;
        let intent = f.intent("automatic").await;
        f.confirm(&intent, "pm_card_chargeDeclined").await;
        f.confirm(&intent, "pm_card_visa").await;
        f.drain().await;
        let mut types = f.endpoint.types();
        types.sort();
        assert_eq!(types, ["charge.failed", "payment_intent.succeeded"]);
        let (_, events) = f.get("/v1/events").await;
        assert_eq!(events["data"].as_array().unwrap().len(), 5, "all of them are kept");
    }
}

#[tokio::test]
async fn what_was_kept_before_events_had_a_table_is_found_as_it_was() {
    static BEFORE: Migrations = Migrations {
        owner: MIGRATIONS.owner,
        postgres: MIGRATIONS.postgres.split_at(2).0,
        sqlite: MIGRATIONS.sqlite.split_at(2).0,
    };
    const OLD: &str = "insert into stripe_objects (id, kind, lookup, doc) values ($1, $2, $3, $4)";
    for database in testkit::databases(&[&BEFORE]).await {
        let intent = json!({"id": "pi_1", "object": "payment_intent", "status": "succeeded",
            "amount_received": 700, "metadata": {"a": "'\"b"}});
        let event = json!({"id": "evt_1", "object": "event", "api_version": API_VERSION,
            "created": 1_790_000_000, "data": {"object": &intent}, "livemode": false,
            "pending_webhooks": 1, "request": {"id": null, "idempotency_key": "k\"1"},
            "type": "payment_intent.succeeded"});
        let rows = [
            ("pi_1", "payment_intent", "", intent.to_string()),
            ("evt_1", "event", "payment_intent.succeeded", event.to_string()),
        ];
        let rows = rows.map(|(id, kind, lookup, doc)| {
            vec![id, kind, lookup, &doc]
                .into_iter()
                .map(|text| db::Value::Text(text.to_owned()))
                .collect::<Vec<_>>()
        });
        let rows = Arc::new(rows);
        let written: Result<u64, db::Error> = database
            .db
            .write(move |tx| {
                let rows = rows.clone();
                Box::pin(async move { tx.execute_many(OLD, &*rows).await })
            })
            .await;
        written.unwrap();
        database.db.migrate(&[&MIGRATIONS]).await.unwrap();
        let f = Fixture::new(database).await;
        assert_eq!(f.get("/v1/payment_intents/pi_1").await, (200, intent));
        assert_eq!(f.get("/v1/events/evt_1").await, (200, event.clone()));
        assert_eq!(f.get("/v1/charges/evt_1").await.0, 404);
        let (_, listed) = f.get("/v1/events?type=payment_intent.succeeded").await;
        assert_eq!(listed["data"], json!([event]));
        let again = f.http.post(format!("{}/sandbox/events/evt_1/deliver", f.url)).send().await;
        assert_eq!(again.unwrap().status(), 200);
        f.drain().await;
        assert_eq!(f.endpoint.received.lock().unwrap()[0].1, event);
    }
}
