//! Looks after replicas in other processes: which addresses a host name stands for, and who takes
//! calls. What is seen here decides who is asked first; that somebody is asked at all, it doesn't.

use std::{future::pending, sync::Arc, time::Duration};

use futures_util::future::{join, join_all};
use kernel::Failure;
use tokio::{
    net::lookup_host,
    time::{sleep, timeout},
};
use tonic::{Code, Response};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    methods,
    replica::{Remote, Replica},
    target::Target,
};

/// The longest pause between two questions to a replica; each is shortened by up to half.
const HEALTH_PERIOD: Duration = Duration::from_secs(2);
/// Who hasn't said by then that it is well, hangs.
const HEALTH_DEADLINE: Duration = Duration::from_millis(1_500);
/// The longest pause between two look-ups of a host name, and how long one may take.
const LOOKUP_PERIOD: Duration = Duration::from_secs(10);
const LOOKUP_DEADLINE: Duration = Duration::from_secs(5);
const HANGS: &str = "no answer in time";

/// Looks after the replicas of `target`, for ever.
pub(crate) async fn watch(target: &Target) {
    let lookups = join_all((0..target.addresses.len()).map(|of| look_up(target, of)));
    join(lookups, check_all(target)).await;
}

async fn look_up(target: &Target, of: usize) {
    let Some((host, port)) = target.addresses.get(of).and_then(|address| address.name()) else {
        return pending().await;
    };
    loop {
        if target.is_wanted() {
            match timeout(LOOKUP_DEADLINE, lookup_host((host, port))).await {
                Ok(Ok(found)) => target.found(of, found.collect()),
                // What was last known is better than nothing.
                Ok(Err(error)) => tracing::warn!(host, %error, "host name not found"),
                Err(_) => tracing::warn!(host, "no answer from the name service"),
            }
        }
        sleep(target.shared.jittered(LOOKUP_PERIOD)).await;
    }
}

async fn check_all(target: &Target) {
    let contract = methods::grpc_services(&target.service).first().copied().unwrap_or_default();
    loop {
        if target.is_wanted() {
            let replicas = target.replicas();
            let hung = join_all(replicas.iter().map(|replica| check(target, replica, contract)));
            let hung = hung.await;
            if replicas.iter().any(|replica| replica.is_healthy()) {
                hung.into_iter().flatten().for_each(Remote::hangs);
            }
        }
        sleep(target.shared.jittered(HEALTH_PERIOD)).await;
    }
}

/// Asks a replica how it is, and notes it; the answer is that replica, if it hangs.
async fn check<'a>(
    target: &Target,
    replica: &'a Arc<Replica>,
    contract: &str,
) -> Option<&'a Remote> {
    let remote = replica.elsewhere()?;
    let answer = ask(remote, contract).await;
    let ill = match &answer {
        Some(Ok(())) => None,
        Some(Err(ill)) => Some(ill.as_str()),
        None => Some(HANGS),
    };
    note(target, replica, ill);
    answer.is_none().then_some(remote)
}

/// How a replica says that it is, or why it can't be told; nothing if it hangs.
async fn ask(remote: &Remote, contract: &str) -> Option<Result<(), String>> {
    let mut client = HealthClient::new(remote.channel());
    let question = HealthCheckRequest { service: contract.to_owned() };
    let answer = timeout(HEALTH_DEADLINE, client.check(question)).await.ok()?;
    Some(match answer.as_ref().map(Response::get_ref) {
        Ok(answer) if answer.status() == ServingStatus::Serving => Ok(()),
        // A server without the health service; that it answers must do.
        Err(status) if status.code() == Code::Unimplemented => Ok(()),
        Ok(answer) => Err(answer.status().as_str_name().to_owned()),
        Err(status) => Err(status.message().to_owned()),
    })
}

/// How each replica of `target` is, asked now; host names are looked up first.
pub(crate) async fn ask_all(target: &Target) -> Vec<(String, Result<(), Failure>)> {
    for (of, address) in target.addresses.iter().enumerate() {
        let Some((host, port)) = address.name() else { continue };
        match timeout(LOOKUP_DEADLINE, lookup_host((host, port))).await {
            Ok(Ok(found)) => target.found(of, found.collect()),
            Ok(Err(error)) => return vec![(host.to_owned(), Err(Failure::unavailable(error)))],
            Err(_) => return vec![(host.to_owned(), Err(Failure::unavailable(HANGS)))],
        }
    }
    let contract = methods::grpc_services(&target.service).first().copied().unwrap_or_default();
    let replicas = target.replicas();
    let answers = replicas.iter().filter_map(|replica| replica.elsewhere()).map(async |remote| {
        let answer = ask(remote, contract).await.unwrap_or_else(|| Err(HANGS.to_owned()));
        (remote.address.to_string(), answer.map_err(Failure::unavailable))
    });
    join_all(answers).await
}

/// Notes that a replica is well, or why it is not.
fn note(target: &Target, replica: &Replica, ill: Option<&str>) {
    let Some(remote) = replica.elsewhere() else { return };
    if !remote.mark(ill.is_none()) {
        return;
    }
    let (service, address) = (&target.service, &remote.address);
    match ill {
        None => {
            replica.breaker.reset();
            tracing::info!(service, address, "replica takes calls again");
        }
        Some(reason) => tracing::warn!(service, address, reason, "replica passed over"),
    }
}

/// Notes that a replica can't be connected to, if somebody will look whether that changes.
pub(crate) fn unreachable(target: &Target, replica: &Replica) {
    if target.shared.is_watched() {
        note(target, replica, Some("no connection"));
    }
}
