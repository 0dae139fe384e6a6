//! Two replicas of each worker share the work of a load: each place is served once, and each mail
//! is taken up once. Nothing breaks here, so that nothing has a reason to come twice.

use std::{sync::Arc, time::Duration};

use db::Db;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::{
    fleet::Fleet,
    sale::{
        audit, come_to_rest,
        load::{Load, Pace, World},
        report, stage,
        stores::at,
        web::{Face, Web},
        words,
    },
};

const PACE: Pace = Pace { clients: 8, wishes_a_life: 150 };
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the load lasts.
const LOAD: Duration = Duration::from_secs(12);

pub(super) async fn nothing_is_handled_twice(fleet: &Fleet) {
    let face = watch::Sender::new(Some(Face::of(fleet.gateways()).await));
    let web = Arc::new(Web::new(face.subscribe(), PATIENCE));
    let stage = stage::set(&web, &fleet.passwords().await).await;
    let before = served(fleet).await;
    let world = World::new(web.clone(), stage, (1, PACE));
    let began = Instant::now();
    let load = Load::start(&world);
    sleep(LOAD).await;
    load.end().await;
    let stores = fleet.stores();
    come_to_rest(&stores, PATIENCE).await;
    world.ask_again().await;

    let entries = world.journal.entries().clone();
    let seen = audit(&stores, &entries).await;
    report(&seen, &entries, began.elapsed());
    let wrong = [web.unanswered(), entries.wrong(), words(&seen)];
    assert_eq!(wrong.concat(), Vec::<String>::new());
    let served: Vec<_> = served(fleet).await.into_iter().zip(before).map(|(a, b)| a - b).collect();
    assert!(!entries.places.is_empty());
    assert_eq!(served.iter().sum::<u64>(), entries.places.len() as u64, "{served:?}");

    let mails = Db::open(&stores.settings("booking_system")).await.unwrap();
    let attempts: Vec<i64> = mails
        .read(|tx| Box::pin(async move { tx.query("select attempts from mails", &[]).await }))
        .await
        .map(|rows: Vec<db::Row>| rows.iter().map(|row| at(row, 0)).collect())
        .unwrap_or_else(|error: db::Error| panic!("{error}"));
    mails.close().await;
    assert!(attempts.iter().all(|attempts| *attempts == 1), "{attempts:?}");
    let sent = counted(fleet, "email-worker", "email_worker_delivery_success_total").await;
    assert_eq!(sent.iter().sum::<u64>(), attempts.len() as u64, "{sent:?}");
    println!("workers: {served:?} places served, {sent:?} mails sent, none twice");
}

async fn served(fleet: &Fleet) -> Vec<u64> {
    counted(fleet, "booking-worker", "booking_worker_items_processed_total").await
}

/// What each replica has counted, all labels together.
async fn counted(fleet: &Fleet, service: &str, metric: &str) -> Vec<u64> {
    let mut counts = Vec::new();
    for face in fleet.faces(service, "metrics") {
        let text = reqwest::get(format!("{face}/metrics")).await.unwrap().text().await.unwrap();
        let lines = text.lines().filter(|line| line.starts_with(metric));
        let values = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
        counts.push(values.sum::<f64>() as u64);
    }
    counts
}
