//! The service against the sandbox, over real ports, on both engines.

mod batches;
mod faces;
mod histories;
mod replicas;
mod rest;
mod webhooks;
mod world;

use kernel::{AccountId, Caller, Code, Page, PaymentId, Role};
use stripe_sandbox::Controls;
use wire::Context;

use self::world::{account, booking_service, on_both};
use crate::{
    BuildError, Config,
    domain::{RefundState, State},
    ops::{self, CreateIntent},
    store,
    stripe::NewIntent,
};

#[tokio::test]
async fn money_is_authorized_captured_and_given_back() {
    on_both(async |w| {
        let payment = w.authorized("pm_card_visa").await;
        assert_eq!(payment.state, State::Authorized);
        let captured = ops::capture_payment(&w.app, &booking_service(), payment.id).await.unwrap();
        assert_eq!((captured.state, captured.captured_minor), (State::Captured, 5_000));
        let again = ops::capture_payment(&w.app, &booking_service(), payment.id).await.unwrap();
        assert_eq!(again, captured, "a repeat gets the same");
        let refund = w.refund(payment.id, 2_000, "k1").await.unwrap();
        assert_eq!(refund.state, RefundState::Succeeded);
        w.refund(payment.id, 3_000, "k2").await.unwrap();
        w.webhooks().await;
        let done = w.payment(payment.id).await;
        assert_eq!((done.state, done.refunded_minor), (State::Refunded, 5_000));
        assert_eq!(done.pending_refund_minor, 0);

        let expected = ["authorized", "captured", "refunded", "refunded"];
        assert_eq!(w.events().await, expected.map(|name| format!("payment.{name}")));
        let expected =
            ["requires_payment", "authorized", "captured", "partially_refunded", "refunded"];
        assert_eq!(w.history(payment.id).await, expected);
        let operations = "select operation from transaction_log order by at, entry_id";
        let mut operations = w.texts(operations, Vec::new()).await;
        operations.sort();
        let expected = ["capture_intent", "create_intent", "create_refund", "create_refund"];
        assert_eq!(operations, expected);
        let secret = payment.client_secret.unwrap();
        for sql in [
            "select cast(response as text) from transaction_log",
            "select cast(body as text) from provider_events",
        ] {
            let kept = w.texts(sql, Vec::new()).await;
            assert!(!kept.is_empty() && kept.iter().all(|text| !text.contains(secret.expose())));
        }
    })
    .await;
}

#[tokio::test]
async fn a_declined_card_keeps_the_payment_open_for_another() {
    on_both(async |w| {
        let payment = w.open().await;
        for card in ["pm_card_chargeDeclinedInsufficientFunds", "pm_card_chargeDeclined"] {
            assert_eq!(w.pay(&payment, card).await, 402);
            w.webhooks().await;
        }
        let open = w.payment(payment.id).await;
        assert_eq!(open.state, State::RequiresPayment);
        assert_eq!(open.decline.unwrap().code, "generic_decline");
        w.pay(&payment, "pm_card_visa").await;
        w.webhooks().await;
        assert_eq!(w.payment(payment.id).await.state, State::Authorized);
        let expected = ["payment.declined", "payment.declined", "payment.authorized"];
        assert_eq!(w.events().await, expected);
    })
    .await;
}

#[tokio::test]
async fn a_booking_has_one_payment_however_often_it_asks() {
    on_both(async |w| {
        let command = w.command();
        let ask = |command: CreateIntent| {
            let app = w.app.clone();
            async move { ops::create_intent(&app, &booking_service(), command).await }
        };
        let (one, two) = tokio::join!(ask(command.clone()), ask(command.clone()));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!(one.provider_reference, two.provider_reference);
        assert_eq!((one.id, one.id.uuid()), (two.id, command.booking.uuid()));
        let made = w.provider("/v1/payment_intents", &[]).await;
        assert_eq!(made["data"].as_array().unwrap().len(), 1);
        let mut other = command;
        other.amount.minor += 1;
        let reused = ask(other).await.unwrap_err();
        assert_eq!((reused.code, &*reused.reason), (Code::Invalid, "IDEMPOTENCY_KEY_REUSED"));
        assert_eq!(w.payment(one.id).await, one, "and nothing has become of it");
    })
    .await;
}

#[tokio::test]
async fn an_intent_whose_making_was_cut_short_is_finished_once() {
    on_both(async |w| {
        // The provider answers with a fault after the effect: all that is left is our row.
        w.controls(Controls { fail_after: 3, ..Controls::default() }).await;
        let command = w.command();
        let failed = ops::create_intent(&w.app, &booking_service(), command.clone()).await;
        assert_eq!(failed.unwrap_err().code, Code::Unavailable);
        let row = "select state from payments where provider_reference is null";
        assert_eq!(w.texts(row, Vec::new()).await, ["requires_payment"]);
        w.reconcile_after(30).await;
        assert_eq!(w.texts(row, Vec::new()).await.len(), 1, "the lease is not over");
        w.reconcile_after(31).await;
        assert!(w.texts(row, Vec::new()).await.is_empty());
        let made = w.provider("/v1/payment_intents", &[]).await;
        assert_eq!(made["data"].as_array().unwrap().len(), 1, "under the same key");
        let payment = ops::create_intent(&w.app, &booking_service(), command).await.unwrap();
        assert_eq!(made["data"][0]["id"], *payment.provider_reference.as_ref().unwrap());
        assert!(payment.client_secret.is_some());
    })
    .await;
}

#[tokio::test]
async fn an_intent_is_made_under_the_key_of_its_booking_so_a_lost_answer_costs_nothing() {
    on_both(async |w| {
        let payment = w.open().await;
        let new = NewIntent {
            payment: payment.id,
            booking: payment.booking,
            booking_reference: &payment.booking_reference,
            amount: payment.amount,
        };
        let again = w.app.stripe.create_intent(&new, format!("create-{}-5000", payment.id)).await;
        assert_eq!(Some(again.result.unwrap().id), payment.provider_reference);
        // The guard's twin: under another key there would be two.
        let twin = w.app.stripe.create_intent(&new, "another".into()).await;
        assert_ne!(Some(twin.result.unwrap().id), payment.provider_reference);
    })
    .await;
}

#[tokio::test]
async fn who_dies_before_the_row_is_written_gets_the_same_intent_when_asking_again() {
    on_both(async |w| {
        let command = w.command();
        let new = NewIntent {
            payment: PaymentId::from_uuid(command.booking.uuid()),
            booking: command.booking,
            booking_reference: &command.booking_reference,
            amount: command.amount,
        };
        let key = format!("create-{}-5000", command.booking);
        let lost = w.app.stripe.create_intent(&new, key).await.result.unwrap();
        w.webhooks().await;
        assert!(w.texts("select state from payments", Vec::new()).await.is_empty());
        let payment = ops::create_intent(&w.app, &booking_service(), command).await.unwrap();
        assert_eq!(payment.provider_reference, Some(lost.id));
        assert!(payment.client_secret.is_some());
        w.pay(&payment, "pm_card_visa").await;
        w.webhooks().await;
        assert_eq!(w.payment(payment.id).await.state, State::Authorized);
    })
    .await;
}

#[tokio::test]
async fn a_payment_that_is_there_is_given_though_the_provider_is_down() {
    on_both(async |w| {
        let command = w.command();
        let made = ops::create_intent(&w.app, &booking_service(), command.clone()).await.unwrap();
        w.controls(Controls { fail_before: 9, ..Controls::default() }).await;
        let again = ops::create_intent(&w.app, &booking_service(), command).await.unwrap();
        assert_eq!(again, made);
    })
    .await;
}

#[tokio::test]
async fn what_the_provider_refuses_for_good_fails_and_stays_failed() {
    on_both(async |w| {
        let mut command = w.command();
        command.amount.minor = 1;
        for _ in 0..2 {
            let refused = ops::create_intent(&w.app, &booking_service(), command.clone()).await;
            let refused = refused.unwrap_err();
            assert_eq!((refused.code, &*refused.reason), (Code::Conflict, "PAYMENT_REFUSED"));
            assert_eq!(refused.metadata["provider_code"], "amount_too_small");
        }
        assert_eq!(w.events().await, ["payment.failed"]);
        assert_eq!(w.texts("select state from payments", Vec::new()).await, ["failed"]);
    })
    .await;
}

#[tokio::test]
async fn lost_webhooks_cost_time_and_no_money() {
    on_both(async |w| {
        w.controls(Controls { lose: true, ..Controls::default() }).await;
        let payment = w.open().await;
        w.pay(&payment, "pm_card_visa").await;
        w.webhooks().await;
        assert_eq!(w.payment(payment.id).await.state, State::RequiresPayment);
        w.reconcile_after(30).await;
        assert_eq!(w.payment(payment.id).await.state, State::Authorized);
        assert_eq!(w.events().await, ["payment.authorized"]);

        // Captured at the provider, and we died before we could write it down.
        let reference = payment.provider_reference.unwrap();
        w.app.stripe.capture_intent(&reference).await.result.unwrap();
        w.reconcile_after(30).await;
        assert_eq!(w.payment(payment.id).await.state, State::Captured);
        let due = "select state from payments where due_at is not null";
        assert!(w.texts(due, Vec::new()).await.is_empty(), "nothing is left to look after");

        // Once more, and the verb itself finds out.
        let other = w.open().await;
        w.pay(&other, "pm_card_visa").await;
        let reference = other.provider_reference.unwrap();
        w.app.stripe.capture_intent(&reference).await.result.unwrap();
        let done = ops::capture_payment(&w.app, &booking_service(), other.id).await.unwrap();
        assert_eq!(done.state, State::Captured);
    })
    .await;
}

#[tokio::test]
async fn the_provider_is_asked_ever_more_seldom_about_a_silent_payment() {
    on_both(async |w| {
        w.open().await;
        let asked = async || {
            let sql = "select operation from transaction_log where operation = 'retrieve_intent'";
            w.texts(sql, Vec::new()).await.len()
        };
        for (seconds, expected) in [(29, 0), (1, 1), (59, 1), (1, 2), (119, 2), (1, 3)] {
            w.reconcile_after(seconds).await;
            assert_eq!(asked().await, expected, "after {seconds} seconds more");
        }
    })
    .await;
}

#[tokio::test]
async fn cancelling_voids_and_never_after_the_money_is_taken() {
    on_both(async |w| {
        let payment = w.authorized("pm_card_visa").await;
        for _ in 0..2 {
            let cancelled =
                ops::cancel_payment(&w.app, &booking_service(), payment.id, "hold lapsed").await;
            assert_eq!(cancelled.unwrap().state, State::Cancelled);
        }
        w.webhooks().await;
        assert_eq!(w.events().await, ["payment.authorized", "payment.cancelled"]);
        let late = ops::capture_payment(&w.app, &booking_service(), payment.id).await;
        assert_eq!(late.unwrap_err().reason, "PAYMENT_CANCELLED");

        let captured = w.captured("pm_card_visa").await;
        let refused = ops::cancel_payment(&w.app, &booking_service(), captured.id, "").await;
        assert_eq!(refused.unwrap_err().reason, "PAYMENT_CAPTURED");
        let early = w.open().await;
        let refused = ops::capture_payment(&w.app, &booking_service(), early.id).await;
        assert_eq!(refused.unwrap_err().reason, "PAYMENT_NOT_AUTHORIZED");

        // Half made: the intent that may exist at the provider is cancelled there.
        w.controls(Controls { fail_after: 3, ..Controls::default() }).await;
        ops::create_intent(&w.app, &booking_service(), w.command()).await.unwrap_err();
        let id = w.half_made().await;
        let done = ops::cancel_payment(&w.app, &booking_service(), id, "").await.unwrap();
        assert_eq!(done.state, State::Cancelled);
        let made = w.provider("/v1/payment_intents", &[]).await;
        assert_eq!(made["data"][0]["status"], "canceled");
    })
    .await;
}

#[tokio::test]
async fn a_refund_has_one_effect_for_each_key() {
    on_both(async |w| {
        let payment = w.captured("pm_card_visa").await;
        let (one, two) =
            tokio::join!(w.refund(payment.id, 1_000, "k1"), w.refund(payment.id, 1_000, "k1"));
        assert_eq!(one.unwrap().id, two.unwrap().id);
        let again = w.refund(payment.id, 1_000, "k1").await.unwrap();
        assert_eq!(again.state, RefundState::Succeeded);
        assert_eq!(w.payment(payment.id).await.refunded_minor, 1_000);
        let other = w.refund(payment.id, 1_001, "k1").await.unwrap_err();
        assert_eq!(other.reason, "IDEMPOTENCY_KEY_REUSED");
        let made = w.provider("/v1/refunds", &[]).await;
        assert_eq!(made["data"].as_array().unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn refunds_that_race_never_exceed_what_was_captured() {
    on_both(async |w| {
        let payment = w.captured("pm_card_visa").await;
        let keys = ["a", "b", "c", "d", "e"];
        let race = keys.map(|key| w.refund(payment.id, 2_000, key));
        let results = futures_util::future::join_all(race).await;
        let refused: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
        assert_eq!(refused.len(), 3, "{refused:?}");
        assert!(refused.iter().all(|failure| failure.reason == "REFUND_EXCEEDS_CAPTURED"));
        assert_eq!(w.payment(payment.id).await.refunded_minor, 4_000);
        let more = w.refund(payment.id, 1_001, "f").await.unwrap_err();
        assert_eq!(more.metadata["refundable_minor"], "1000");
        // A refused request does not use up its key.
        assert_eq!(w.refund(payment.id, 1_000, "f").await.unwrap().amount_minor, 1_000);
        // The guard's twin: without its condition the same statement sets aside what is not there.
        let unguarded = "update payments set pending_refund_minor = pending_refund_minor + 2000";
        w.execute(unguarded).await;
        assert!(w.payment(payment.id).await.refundable_minor() < 0);
    })
    .await;
}

#[tokio::test]
async fn however_often_an_answer_is_lost_one_intent_is_made() {
    on_both(async |w| {
        w.controls(Controls { fail_after: 3 * 6, ..Controls::default() }).await;
        let failed = ops::create_intent(&w.app, &booking_service(), w.command()).await;
        assert_eq!(failed.unwrap_err().code, Code::Unavailable);
        for _ in 0..8 {
            w.reconcile_after(3_600).await;
        }
        let row = "select state from payments where provider_reference is null";
        assert!(w.texts(row, Vec::new()).await.is_empty());
        let made = w.provider("/v1/payment_intents", &[]).await;
        assert_eq!(made["data"].as_array().unwrap().len(), 1, "under the same key");
    })
    .await;
}

#[tokio::test]
async fn a_refund_cut_short_is_finished_once() {
    on_both(async |w| {
        let payment = w.captured("pm_card_visa").await;
        w.controls(Controls { fail_after: 3, lose: true, ..Controls::default() }).await;
        let refund = w.refund(payment.id, 1_000, "k1").await.unwrap();
        assert_eq!(refund.state, RefundState::Pending, "durable, and not yet known to be done");
        let over = w.refund(payment.id, 4_001, "k2").await.unwrap_err();
        assert_eq!(over.reason, "REFUND_EXCEEDS_CAPTURED", "what is pending counts");
        w.reconcile_after(60).await;
        assert_eq!(w.refund(payment.id, 1_000, "k1").await.unwrap().state, RefundState::Succeeded);

        w.controls(Controls { fail_before: 3, ..Controls::default() }).await;
        let refund = w.refund(payment.id, 500, "k3").await.unwrap();
        assert_eq!(refund.state, RefundState::Pending);
        w.reconcile_after(60).await;
        assert_eq!(w.payment(payment.id).await.refunded_minor, 1_500);
        let made = w.provider("/v1/refunds", &[]).await;
        assert_eq!(made["data"].as_array().unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_refund_may_settle_late_or_fail_after_all() {
    on_both(async |w| {
        let payment = w.captured("pm_card_pendingRefund").await;
        w.controls(Controls { lose: true, ..Controls::default() }).await;
        let refund = w.refund(payment.id, 5_000, "k1").await.unwrap();
        assert_eq!(refund.state, RefundState::Pending);
        w.clock.advance(std::time::Duration::from_secs(2));
        w.webhooks().await;
        w.reconcile_after(30).await;
        assert_eq!(w.payment(payment.id).await.state, State::Refunded);

        w.controls(Controls::default()).await;
        let payment = w.captured("pm_card_refundFail").await;
        w.refund(payment.id, 5_000, "k2").await.unwrap();
        assert_eq!(w.payment(payment.id).await.state, State::Refunded);
        w.clock.advance(std::time::Duration::from_secs(2));
        w.webhooks().await;
        let back = w.payment(payment.id).await;
        assert_eq!((back.state, back.refunded_minor), (State::Captured, 0));
        assert_eq!(w.events().await.last().unwrap(), "payment.refund_failed");
    })
    .await;
}

#[tokio::test]
async fn only_bookings_and_admins_move_money_and_only_owners_look() {
    on_both(async |w| {
        let payment = w.captured("pm_card_visa").await;
        let stranger = AccountId::from_uuid(payment.booking.uuid());
        let strangers = [
            account(stranger, Role::Individual),
            account(stranger, Role::Organization),
            account(payment.account, Role::Individual),
            Context::service("realtime"),
            Context::new(Caller::Anonymous, ""),
        ];
        for context in &strangers {
            let code = |failure: kernel::Failure| {
                assert!(matches!(failure.code, Code::Forbidden | Code::Unauthenticated));
            };
            code(ops::create_intent(&w.app, context, w.command()).await.unwrap_err());
            code(ops::capture_payment(&w.app, context, payment.id).await.unwrap_err());
            code(ops::cancel_payment(&w.app, context, payment.id, "").await.unwrap_err());
            let seen = ops::get_payment(&w.app, context, payment.id).await;
            let own =
                matches!(&context.caller, Caller::Account { id, .. } if *id == payment.account);
            assert_eq!(seen.is_ok(), own, "{context:?}");
        }
        let admin = account(stranger, Role::Admin);
        assert!(ops::capture_payment(&w.app, &admin, payment.id).await.is_ok());

        let buyer = account(AccountId::from_uuid(payment.id.uuid()), Role::Individual);
        let mut made = Vec::new();
        for _ in 0..3 {
            let command = CreateIntent { account: buyer.caller.account().unwrap(), ..w.command() };
            made.push(ops::create_intent(&w.app, &booking_service(), command).await.unwrap().id);
            w.clock.advance(std::time::Duration::from_secs(1));
        }
        let page = |cursor: &str| Page::new(2, cursor).unwrap();
        let (first, cursor) = ops::list_payments(&w.app, &buyer, &page("")).await.unwrap();
        let (last, end) = ops::list_payments(&w.app, &buyer, &page(&cursor)).await.unwrap();
        let listed: Vec<_> = first.iter().chain(&last).map(|payment| payment.id).collect();
        made.reverse();
        assert_eq!((listed, end), (made, String::new()));
        assert!(ops::list_payments(&w.app, &buyer, &page("x")).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn two_replicas_never_take_the_same_due_payment() {
    on_both(async |w| {
        for _ in 0..12 {
            w.open().await;
        }
        let now = w.app.now().plus(std::time::Duration::from_secs(60));
        let lease = now.plus(std::time::Duration::from_secs(60));
        let other = w.database.open_again().await;
        let take = |db: db::Db| async move {
            db.write(move |tx| Box::pin(async move { store::take_due(tx, now, lease, 4).await }))
                .await
                .unwrap_or_else(|error: db::Error| panic!("{error}"))
        };
        let own = w.database.db.clone();
        let (a, b, c) = tokio::join!(take(own.clone()), take(other), take(own));
        let mut ids: Vec<_> = a.iter().chain(&b).chain(&c).map(|payment| payment.id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), a.len() + b.len() + c.len());
    })
    .await;
}

#[tokio::test]
async fn logs_go_when_they_are_old_and_payments_stay() {
    on_both(async |w| {
        let payment = w.captured("pm_card_visa").await;
        let left = async || {
            let logged = w.texts("select operation from transaction_log", Vec::new()).await;
            let events = w.texts("select kind from provider_events", Vec::new()).await;
            (logged.len(), events.len())
        };
        let (logged, events) = left().await;
        assert!(logged > 1 && events > 0);
        w.clock.advance(w.app.keep_log);
        assert!(!ops::prune_logs(w.app.clone()).await.unwrap());
        assert_eq!(left().await, (logged, events), "not a moment too early");
        // A call and an event that are as young as can be.
        w.refund(payment.id, 1_000, "k1").await.unwrap();
        w.webhooks().await;
        let young = left().await;
        w.clock.advance(std::time::Duration::from_secs(1));
        let older_than = w.app.now().minus(w.app.keep_log);
        let pruned: Result<_, db::Error> = w
            .app
            .db
            .write(move |tx| {
                Box::pin(async move {
                    let entries = store::prune_entries(tx, older_than, 1).await?;
                    Ok((entries, store::prune_events(tx, older_than, 1).await?))
                })
            })
            .await;
        assert_eq!(pruned.unwrap(), (1, 1), "no more than it may");
        assert!(!ops::prune_logs(w.app.clone()).await.unwrap());
        assert_eq!(left().await, (young.0 - logged, young.1 - events));
        let kept = w.payment(payment.id).await;
        assert_eq!((kept.captured_minor, kept.refunded_minor), (5_000, 1_000));
        assert_eq!(w.history(payment.id).await.len(), 4);
    })
    .await;
}

#[test]
fn a_configuration_without_secrets_is_refused() {
    let mut tree = platform::config::Tree::new();
    tree.defaults(crate::NAME, crate::CONFIG).unwrap();
    let mut config: Config = tree.section(crate::NAME).unwrap();
    let wrong = |config: &Config| match config.check() {
        Err(BuildError::Config { key, .. }) => key,
        _ => "",
    };
    assert_eq!(wrong(&config), "stripe_secret_key");
    config.stripe_secret_key = kernel::Secret::new("sk".into());
    assert_eq!(wrong(&config), "stripe_webhook_secret");
    config.stripe_webhook_secret = kernel::Secret::new("whsec".into());
    assert_eq!(wrong(&config), "");
    config.due_batch = 0;
    assert_eq!(wrong(&config), "due_batch");
    config.due_batch = 1;
    config.keep_log_days = 30;
    assert_eq!(wrong(&config), "keep_log_days");
}
