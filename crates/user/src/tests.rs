//! The verbs on both engines.

use std::sync::Arc;

use kernel::{AccountId, Caller, Failure, Role, Timestamp};
use platform::{Tasks, bus::Delivery};
use serde_json::json;
use testkit::{ManualClock, TestDb};
use wire::Context;

use crate::{
    MIGRATIONS,
    app::App,
    consumers,
    domain::Edit,
    error::Error,
    ops::{self, UpdateProfile},
};

fn account(number: u128) -> AccountId {
    AccountId::from_uuid(uuid::Uuid::from_u128(number))
}

fn as_account(id: AccountId) -> Context {
    let caller = Caller::Account { id, role: Role::Individual, organization: None, session: None };
    Context::new(caller, "test")
}

fn edit(account: AccountId, first_name: &str, version: i64) -> UpdateProfile {
    let edit = Edit { first_name: Some(first_name.to_owned()), ..Edit::default() };
    UpdateProfile { account, edit, preferences: None, version }
}

fn refused<T>(result: Result<T, Error>) -> String {
    Failure::from(result.err().expect("should be refused")).reason.into_owned()
}

async fn apps() -> Vec<(Arc<App>, TestDb)> {
    let databases = testkit::databases(&[&platform::MIGRATIONS, &MIGRATIONS]).await;
    let app = |db: &TestDb| App {
        db: db.db.clone(),
        clock: Arc::new(ManualClock::new(Timestamp::from_seconds(1_800_000_000))),
        tasks: Tasks::new(),
    };
    databases.into_iter().map(|db| (Arc::new(app(&db)), db)).collect()
}

/// Has the account's profile made by the event that tells of it, twice.
async fn registered(app: &Arc<App>, id: AccountId) {
    let delivery = Delivery {
        id: kernel::MessageId::from_uuid(uuid::Uuid::from_u128(9)),
        topic: "account-events".into(),
        key: id.to_string().into(),
        kind: "account.registered".into(),
        source: "auth".into(),
        at: Timestamp::EPOCH,
        correlation_id: "test".into(),
        content: json!({"account_id": id.to_string(), "email": "a@b.c", "first_name": "Ada"})
            .into(),
        attempts: 0,
    };
    let handle = consumers::account_events(app.clone());
    handle(delivery.clone()).await.unwrap();
    handle(delivery).await.unwrap();
}

#[tokio::test]
async fn a_registered_account_has_a_profile_that_only_it_reads_and_edits() {
    for (app, _db) in apps().await {
        let (ada, eve) = (account(1), account(2));
        let own = as_account(ada);
        assert_eq!(refused(ops::get_profile(&app, &own, ada).await), "NOT_FOUND");
        registered(&app, ada).await;
        let (profile, preferences) = ops::get_profile(&app, &own, ada).await.unwrap();
        assert_eq!((profile.first_name.as_str(), profile.version), ("Ada", 1));
        assert_eq!(preferences, json!({}));

        let stranger = as_account(eve);
        assert_eq!(refused(ops::get_profile(&app, &stranger, ada).await), "NOT_FOUND");
        let change = ops::update_profile(&app, &stranger, edit(ada, "Eve", 0)).await;
        assert_eq!(refused(change), "NOT_FOUND");
        let nobody = Context::new(Caller::Anonymous, "test");
        assert_eq!(refused(ops::get_profile(&app, &nobody, ada).await), "UNAUTHENTICATED");
        let profile = ops::get_profile(&app, &Context::service("gateway"), ada).await.unwrap().0;
        assert_eq!(profile.first_name, "Ada");
    }
}

#[tokio::test]
async fn edits_need_the_current_version_and_of_two_at_once_one_wins() {
    for (app, _db) in apps().await {
        let ada = account(1);
        registered(&app, ada).await;
        let own = as_account(ada);
        let (profile, _) = ops::update_profile(&app, &own, edit(ada, "Augusta", 1)).await.unwrap();
        assert_eq!((profile.first_name.as_str(), profile.version), ("Augusta", 2));
        assert_eq!(
            refused(ops::update_profile(&app, &own, edit(ada, "X", 1)).await),
            "STALE_VERSION"
        );
        let (one, two) = tokio::join!(
            ops::update_profile(&app, &own, edit(ada, "One", 2)),
            ops::update_profile(&app, &own, edit(ada, "Two", 2)),
        );
        assert!(one.is_ok() ^ two.is_ok());
        assert_eq!(ops::get_profile(&app, &own, ada).await.unwrap().0.version, 3);
    }
}

#[tokio::test]
async fn preferences_are_an_object_and_replace_the_old_ones() {
    for (app, _db) in apps().await {
        let ada = account(1);
        registered(&app, ada).await;
        let own = as_account(ada);
        let prefer = |text: &str| UpdateProfile {
            preferences: Some(text.to_owned()),
            ..edit(ada, "Ada", 0)
        };
        let huge = format!("{{\"a\":\"{}\"}}", "x".repeat(20_000));
        let null = r#"{"a": [{"b": "\u0000"}]}"#;
        for bad in ["", "[]", "1", "{", &huge, null, r#"{"\u0000": 1}"#] {
            let result = ops::update_profile(&app, &own, prefer(bad)).await;
            assert_eq!(refused(result), "INVALID_ARGUMENT");
        }
        ops::update_profile(&app, &own, prefer(r#"{"a": 1}"#)).await.unwrap();
        ops::update_profile(&app, &own, prefer(r#"{"b": [2]}"#)).await.unwrap();
        ops::update_profile(&app, &own, edit(ada, "Ada", 0)).await.unwrap();
        let (profile, preferences) = ops::get_profile(&app, &own, ada).await.unwrap();
        assert_eq!((preferences, profile.version), (json!({"b": [2]}), 4));
    }
}
