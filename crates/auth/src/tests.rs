//! The verbs on both engines: what works, what is refused, and what each guard is for.

use std::{sync::Arc, time::Duration};

use kernel::{Caller, Code, Failure, Ids, Role, Secret, Timestamp};
use platform::{Metrics, Tasks, bus::ACCOUNT_EVENTS, outbox::Outbox, tokens::Verifier};
use testkit::{ManualClock, SeededIds, TestDb};
use wire::Context;

use crate::{
    Config, MIGRATIONS,
    app::{self, App},
    domain::Raw,
    error::Error,
    keys::Keys,
    ops::{self, Login, Tokens},
    passwords::Passwords,
    store,
};

const PASSWORD: &str = "Analytical1";

struct Bench {
    app: Arc<App>,
    clock: Arc<ManualClock>,
    _db: TestDb,
}

fn config() -> Config {
    Config {
        access_ttl_seconds: 900,
        refresh_ttl_seconds: 3_600,
        pin_ttl_seconds: 900,
        pin_attempts: 3,
        login_attempts: 3,
        lock_seconds: 600,
        signing_key_seconds: 86_400,
        argon2_memory_kib: 64,
        argon2_passes: 1,
        argon2_at_once: 2,
    }
}

async fn benches() -> Vec<Bench> {
    let databases = testkit::databases(&[&platform::MIGRATIONS, &MIGRATIONS]).await;
    databases.into_iter().map(bench).collect()
}

fn bench(db: TestDb) -> Bench {
    let clock = Arc::new(ManualClock::new(Timestamp::parse("2026-11-22T12:00:00Z").unwrap()));
    let secret = Secret::new(vec![7; 32]);
    let app = App {
        db: db.db.clone(),
        clock: clock.clone(),
        ids: Arc::new(SeededIds::new(1)),
        outbox: Outbox::new(ACCOUNT_EVENTS),
        tasks: Tasks::new(),
        passwords: Passwords::new(&config()).unwrap(),
        keys: Keys::new(&config(), &secret).unwrap(),
        pin_key: app::pin_key(&secret),
        attempts: app::Attempts::new(&Metrics::new()),
        config: config(),
    };
    Bench { app: Arc::new(app), clock, _db: db }
}

fn raw(email: &str) -> Raw<'_> {
    Raw {
        email,
        password: PASSWORD,
        first_name: "Ada",
        last_name: "Lovelace",
        role: "",
        organization_name: "",
    }
}

fn code(error: Error) -> (Code, String) {
    let failure = Failure::from(error);
    (failure.code, failure.reason.into_owned())
}

fn refused<T>(result: Result<T, Error>) -> String {
    code(result.err().expect("should be refused")).1
}

impl Bench {
    fn nobody() -> Context {
        Context::new(Caller::Anonymous, "test")
    }

    async fn register(&self, email: &str) -> Result<kernel::AccountId, Error> {
        let registration = raw(email).checked(false).unwrap();
        ops::register(&self.app, &Self::nobody(), registration).await.map(|(id, _)| id)
    }

    /// The PIN of the newest `account.verification_requested` in the outbox.
    async fn pin(&self) -> String {
        let content: serde_json::Value = self
            .app
            .db
            .read(|tx| -> db::Body<'_, _, db::Error> {
                Box::pin(async move {
                    let newest = "select content from boxoffice_outbox
                                  where kind = 'account.verification_requested'
                                  order by seq desc limit 1";
                    tx.query_one(newest, &[]).await?.get(0)
                })
            })
            .await
            .unwrap();
        content["pin"].as_str().unwrap().to_owned()
    }

    async fn verify(&self, email: &str, pin: &str) -> Result<store::Account, Error> {
        ops::verify_email(&self.app, &Self::nobody(), email, pin).await
    }

    async fn login(&self, email: &str, password: &str) -> Result<Tokens, Error> {
        let login = Login {
            email: email.to_owned(),
            password: Secret::new(password.to_owned()),
            ip: "127.0.0.1".to_owned(),
            user_agent: "test".to_owned(),
        };
        ops::login(&self.app, login).await
    }

    /// An account that can log in.
    async fn member(&self, email: &str) -> Tokens {
        self.register(email).await.unwrap();
        let pin = self.pin().await;
        self.verify(email, &pin).await.unwrap();
        self.login(email, PASSWORD).await.unwrap()
    }

    fn verifier(&self) -> Verifier {
        let app = self.app.clone();
        let source = Arc::new(move || {
            let app = app.clone();
            let keys = async move { ops::get_jwks(&app).await.map_err(Failure::from) };
            Box::pin(keys) as std::pin::Pin<Box<dyn Future<Output = _> + Send>>
        });
        Verifier::new(source, self.clock.clone())
    }
}

#[tokio::test]
async fn an_account_is_registered_once_proved_by_pin_and_logs_in() {
    for bench in benches().await {
        let id = bench.register("ada@example.org").await.unwrap();
        assert_eq!(refused(bench.register("ADA@example.org ").await), "EMAIL_TAKEN");
        assert_eq!(refused(bench.login("ada@example.org", PASSWORD).await), "EMAIL_NOT_VERIFIED");

        let pin = bench.pin().await;
        for nobody in ["nobody@example.org", "ada\0@example.org"] {
            assert_eq!(refused(bench.verify(nobody, &pin).await), "INVALID_PIN");
        }
        assert!(bench.verify("ada@example.org", &pin).await.unwrap().verified);
        assert_eq!(refused(bench.verify("ada@example.org", &pin).await), "ALREADY_VERIFIED");

        let tokens = bench.login("Ada@Example.org", PASSWORD).await.unwrap();
        let claims = bench.verifier().verify(tokens.access.expose()).await.unwrap();
        assert_eq!((claims.account, claims.role), (id, Role::Individual));

        let history = bench
            .app
            .db
            .read(move |tx| Box::pin(async move { store::history(tx, id).await }))
            .await
            .unwrap();
        let actions: Vec<_> = history.iter().map(|(action, ..)| action.as_str()).collect();
        assert_eq!(actions, ["registered", "verified"]);
    }
}

#[tokio::test]
async fn of_two_registrations_at_once_one_wins() {
    for bench in benches().await {
        let (one, two) =
            tokio::join!(bench.register("ada@example.org"), bench.register("ada@example.org"));
        assert_eq!(usize::from(one.is_ok()) + usize::from(two.is_ok()), 1);
    }
}

#[tokio::test]
async fn wrong_pins_void_the_pin_and_a_new_one_replaces_it() {
    for bench in benches().await {
        bench.register("ada@example.org").await.unwrap();
        let right = bench.pin().await;
        let wrong = if right == "000000" { "000001" } else { "000000" };
        for _ in 0..config().pin_attempts {
            assert_eq!(refused(bench.verify("ada@example.org", wrong).await), "INVALID_PIN");
        }
        assert_eq!(refused(bench.verify("ada@example.org", &right).await), "PIN_EXPIRED");

        let nobody = Bench::nobody();
        ops::resend_verification(&bench.app, &nobody, "ada@example.org").await.unwrap();
        ops::resend_verification(&bench.app, &nobody, "unknown@example.org").await.unwrap();
        let fresh = bench.pin().await;
        bench.clock.advance(Duration::from_secs(901));
        assert_eq!(refused(bench.verify("ada@example.org", &fresh).await), "PIN_EXPIRED");
        ops::resend_verification(&bench.app, &nobody, "ada@example.org").await.unwrap();
        let fresh = bench.pin().await;
        bench.verify("ada@example.org", &fresh).await.unwrap();
    }
}

#[tokio::test]
async fn wrong_passwords_lock_the_account_for_a_while() {
    for bench in benches().await {
        bench.member("ada@example.org").await;
        for _ in 0..config().login_attempts {
            assert_eq!(
                refused(bench.login("ada@example.org", "Wrong1234").await),
                "BAD_CREDENTIALS"
            );
        }
        let locked = bench.login("ada@example.org", PASSWORD).await.err().unwrap();
        let locked = Failure::from(locked);
        assert_eq!((locked.code, locked.retry_after_ms), (Code::Exhausted, Some(600_000)));
        bench.clock.advance(Duration::from_secs(600));
        assert!(bench.login("ada@example.org", PASSWORD).await.is_ok());
        for nobody in ["nobody@example.org", "ada\0@example.org"] {
            assert_eq!(refused(bench.login(nobody, PASSWORD).await), "BAD_CREDENTIALS");
        }
    }
}

#[tokio::test]
async fn a_refresh_token_is_good_once_and_twice_ends_the_session() {
    for bench in benches().await {
        let first = bench.member("ada@example.org").await;
        let second = ops::refresh(&bench.app, &first.refresh).await.unwrap();
        assert_ne!(first.refresh, second.refresh);
        assert_eq!(refused(ops::refresh(&bench.app, &first.refresh).await), "SESSION_OVER");
        let stolen = ops::refresh(&bench.app, &second.refresh).await;
        assert_eq!(refused(stolen), "SESSION_OVER", "the whole chain has ended");

        let other = bench.login("ada@example.org", PASSWORD).await.unwrap();
        let (one, two) = tokio::join!(
            ops::refresh(&bench.app, &other.refresh),
            ops::refresh(&bench.app, &other.refresh),
        );
        assert!(one.is_ok() ^ two.is_ok(), "of two at once one wins");

        let unknown = Secret::new("not a token".to_owned());
        assert_eq!(refused(ops::refresh(&bench.app, &unknown).await), "SESSION_OVER");
        let late = bench.login("ada@example.org", PASSWORD).await.unwrap();
        bench.clock.advance(Duration::from_secs(3_600));
        assert_eq!(refused(ops::refresh(&bench.app, &late.refresh).await), "SESSION_OVER");
    }
}

#[tokio::test]
async fn logout_ends_the_session_and_only_that() {
    for bench in benches().await {
        let one = bench.member("ada@example.org").await;
        let two = bench.login("ada@example.org", PASSWORD).await.unwrap();
        let claims = bench.verifier().verify(one.access.expose()).await.unwrap();
        ops::logout(&bench.app, &Context::new(claims.caller(), "test")).await.unwrap();
        assert_eq!(refused(ops::refresh(&bench.app, &one.refresh).await), "SESSION_OVER");
        assert!(ops::refresh(&bench.app, &two.refresh).await.is_ok());
        assert_eq!(refused(ops::logout(&bench.app, &Bench::nobody()).await), "UNAUTHENTICATED");
    }
}

#[tokio::test]
async fn only_operators_provision_and_change_roles() {
    for bench in benches().await {
        let operator = Context::service("boxoffice");
        let hall =
            Raw { role: "organization", organization_name: "Hall", ..raw("hall@example.org") };
        let hall = hall.checked(true).unwrap();
        let nobody = Bench::nobody();
        let refusal = ops::provision_account(&bench.app, &nobody, hall.clone()).await;
        assert_eq!(refused(refusal), "FORBIDDEN");
        let made = ops::provision_account(&bench.app, &operator, hall.clone()).await.unwrap();
        let again = ops::provision_account(&bench.app, &operator, hall).await.unwrap();
        assert_eq!(made, again);
        assert!(made.verified && made.organization.is_some());

        let buyer = bench.member("ada@example.org").await;
        let id = buyer.account.id;
        let own = Context::new(
            bench.verifier().verify(buyer.access.expose()).await.unwrap().caller(),
            "",
        );
        assert_eq!(refused(ops::set_role(&bench.app, &own, id, Role::Admin).await), "FORBIDDEN");
        assert_eq!(refused(ops::get_account(&bench.app, &own, made.id).await), "NOT_FOUND");
        assert_eq!(ops::get_account(&bench.app, &own, id).await.unwrap().id, id);
        let no_hall = ops::set_role(&bench.app, &operator, id, Role::Organization).await;
        assert_eq!(refused(no_hall), "INVALID_ARGUMENT");
        let admin = ops::set_role(&bench.app, &operator, id, Role::Admin).await.unwrap();
        assert_eq!(admin.role, Role::Admin);
        assert_eq!(refused(ops::refresh(&bench.app, &buyer.refresh).await), "SESSION_OVER");
    }
}

#[tokio::test]
async fn keys_rotate_and_old_tokens_verify_until_they_expire() {
    for bench in benches().await {
        let old = bench.member("ada@example.org").await;
        bench.clock.advance(Duration::from_secs(86_400 - 60));
        let last = bench.login("ada@example.org", PASSWORD).await.unwrap();
        bench.clock.advance(Duration::from_secs(61));
        let new = bench.login("ada@example.org", PASSWORD).await.unwrap();
        let keys = ops::get_jwks(&bench.app).await.unwrap();
        assert_eq!(keys.matches("kid").count(), 2, "{keys}");
        for token in [&last, &new] {
            assert!(bench.verifier().verify(token.access.expose()).await.is_ok());
        }
        assert!(bench.verifier().verify(old.access.expose()).await.is_err(), "expired");
        bench.clock.advance(Duration::from_secs(86_400));
        bench.app.keys.rotate(&bench.app).await.unwrap();
        let keys = ops::get_jwks(&bench.app).await.unwrap();
        assert!(!keys.contains(&old.access.expose()[..8]) && keys.matches("kid").count() == 2);
    }
}

#[tokio::test]
async fn sessions_that_are_long_over_are_removed_with_their_tokens() {
    for bench in benches().await {
        let tokens = bench.member("ada@example.org").await;
        assert!(!ops::remove_sessions(&bench.app).await.unwrap());
        assert!(ops::refresh(&bench.app, &tokens.refresh).await.is_ok(), "still there");
        bench.clock.advance(Duration::from_secs(60 * 24 * 3_600));
        ops::remove_sessions(&bench.app).await.unwrap();
        let left: i64 = bench
            .app
            .db
            .read(|tx| -> db::Body<'_, _, db::Error> {
                Box::pin(async move {
                    let count = "select count(*) from refresh_tokens";
                    tx.query_one(count, &[]).await?.get(0)
                })
            })
            .await
            .unwrap();
        assert_eq!(left, 0);
    }
}

#[tokio::test]
async fn another_secret_can_not_open_the_keys() {
    for bench in benches().await {
        bench.app.keys.rotate(&bench.app).await.unwrap();
        let other = Keys::new(&config(), &Secret::new(vec![8; 32])).unwrap();
        assert_eq!(code(other.rotate(&bench.app).await.unwrap_err()).0, Code::Internal);
        assert_ne!(bench.app.ids.uuid(Timestamp::EPOCH), bench.app.ids.uuid(Timestamp::EPOCH));
    }
}

#[tokio::test]
async fn replicas_that_make_a_key_at_once_sign_what_all_verify() {
    for bench in benches().await {
        let app = &bench.app;
        let expires_at = app.now().plus(Duration::from_secs(900));
        let claims = platform::tokens::Claims {
            account: kernel::AccountId::new(&*app.ids, app.now()),
            session: kernel::SessionId::new(&*app.ids, app.now()),
            role: Role::Individual,
            organization: None,
            expires_at,
        };
        let replicas: Vec<Keys> =
            (0..4).map(|_| Keys::new(&config(), &Secret::new(vec![7; 32])).unwrap()).collect();
        let signing = replicas.iter().map(|keys| keys.sign(app, &claims));
        for token in futures_util::future::join_all(signing).await {
            assert!(bench.verifier().verify(&token.unwrap()).await.is_ok());
        }
        // Who comes later finds one, and makes none.
        let known = ops::get_jwks(app).await.unwrap().matches("kid").count();
        app.keys.rotate(app).await.unwrap();
        assert_eq!(ops::get_jwks(app).await.unwrap().matches("kid").count(), known);
        assert!(known <= 4);
    }
}
