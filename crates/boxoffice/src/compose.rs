//! From what is shared to services: gives each exactly the handles it needs, and builds it.

mod demo_accounts;
mod parts;

use platform::{Tasks, Unit, config::Tree};

pub(crate) use self::demo_accounts::DEMO_ACCOUNTS;
pub(crate) use self::parts::{
    Parts, database_settings, deployment_key, mesh, migrations, open_bus, open_kv, read_tls,
};
use crate::{SANDBOX, Settings, StartError, topology::Role};

/// Builds one service.
pub(crate) async fn build(role: Role, parts: &Parts) -> Result<Unit, StartError> {
    match role.name {
        auth::NAME => auth(parts).await,
        user::NAME => user(parts),
        event::NAME => event(parts),
        ticket::NAME => ticket(parts).await,
        booking::NAME => booking(parts),
        payment::NAME => payment(parts),
        realtime::NAME => realtime(parts),
        booking_worker::NAME => booking_worker(parts),
        email_worker::NAME => email_worker(parts),
        gateway::NAME => gateway(parts),
        other => Err(StartError::build(other, "no such service")),
    }
}

async fn auth(parts: &Parts) -> Result<Unit, StartError> {
    let deps = auth::Deps {
        db: parts.db(auth::NAME)?,
        clock: parts.clock.clone(),
        ids: parts.ids.clone(),
        bus: parts.bus.clone(),
        secret: parts.key.clone(),
    };
    auth::build(parts.config(auth::NAME)?, deps).map_err(|e| StartError::build(auth::NAME, e))
}

fn user(parts: &Parts) -> Result<Unit, StartError> {
    let deps = user::Deps {
        db: parts.db(user::NAME)?,
        clock: parts.clock.clone(),
        ids: parts.ids.clone(),
        bus: parts.bus.clone(),
    };
    user::build(parts.config(user::NAME)?, deps).map_err(|e| StartError::build(user::NAME, e))
}

fn event(parts: &Parts) -> Result<Unit, StartError> {
    let deps = event::Deps {
        db: parts.db(event::NAME)?,
        clock: parts.clock.clone(),
        ids: parts.ids.clone(),
        bus: parts.bus.clone(),
        kv: parts.kv.clone(),
        ticket: parts.wire(event::NAME, ticket::NAME)?,
    };
    event::build(parts.config(event::NAME)?, deps).map_err(|e| StartError::build(event::NAME, e))
}

async fn ticket(parts: &Parts) -> Result<Unit, StartError> {
    let deps = ticket::Deps {
        db: parts.db(ticket::NAME)?,
        clock: parts.clock.clone(),
        ids: parts.ids.clone(),
        bus: parts.bus.clone(),
        secret: parts.key.clone(),
    };
    let built = ticket::build(parts.config(ticket::NAME)?, deps).await;
    built.map_err(|error| StartError::build(ticket::NAME, error))
}

fn booking(parts: &Parts) -> Result<Unit, StartError> {
    let deps = booking::Deps {
        db: parts.db(booking::NAME)?,
        clock: parts.clock.clone(),
        ids: parts.ids.clone(),
        bus: parts.bus.clone(),
        event: parts.wire(booking::NAME, event::NAME)?,
        ticket: parts.wire(booking::NAME, ticket::NAME)?,
        payment: parts.wire(booking::NAME, payment::NAME)?,
        seal: parts.seal(),
        access: parts.access(booking::NAME)?,
    };
    let built = booking::build(parts.config(booking::NAME)?, deps);
    built.map_err(|error| StartError::build(booking::NAME, error))
}

fn payment(parts: &Parts) -> Result<Unit, StartError> {
    let deps = payment::Deps {
        db: parts.db(payment::NAME)?,
        clock: parts.clock.clone(),
        ids: parts.ids.clone(),
        bus: parts.bus.clone(),
        access: parts.access(payment::NAME)?,
        nearby: parts.nearby.clone(),
    };
    let built = payment::build(parts.config(payment::NAME)?, deps);
    built.map_err(|error| StartError::build(payment::NAME, error))
}

fn realtime(parts: &Parts) -> Result<Unit, StartError> {
    let deps = realtime::Deps {
        clock: parts.clock.clone(),
        ids: parts.ids.clone(),
        bus: parts.bus.clone(),
        kv: parts.kv.clone(),
        access: parts.access(realtime::NAME)?,
    };
    let built = realtime::build(parts.config(realtime::NAME)?, deps);
    built.map_err(|error| StartError::build(realtime::NAME, error))
}

fn booking_worker(parts: &Parts) -> Result<Unit, StartError> {
    let deps = booking_worker::Deps {
        kv: parts.kv.clone(),
        clock: parts.clock.clone(),
        ids: parts.ids.clone(),
        bus: parts.bus.clone(),
        booking: parts.wire(booking_worker::NAME, booking::NAME)?,
        realtime: parts.wire(booking_worker::NAME, realtime::NAME)?,
        seal: parts.seal(),
    };
    let built = booking_worker::build(parts.config(booking_worker::NAME)?, deps);
    built.map_err(|error| StartError::build(booking_worker::NAME, error))
}

fn email_worker(parts: &Parts) -> Result<Unit, StartError> {
    let deps = email_worker::Deps {
        db: parts.db(email_worker::NAME)?,
        clock: parts.clock.clone(),
        ids: parts.ids.clone(),
        bus: parts.bus.clone(),
    };
    let built = email_worker::build(parts.config(email_worker::NAME)?, deps);
    built.map_err(|error| StartError::build(email_worker::NAME, error))
}

fn gateway(parts: &Parts) -> Result<Unit, StartError> {
    let wire = |to: &str| parts.wire(gateway::NAME, to);
    let mut config: gateway::Config = parts.config(gateway::NAME)?;
    let realtime = parts.addresses.get(realtime::NAME).and_then(|its| its.http);
    if let Some(address) = realtime.filter(|_| config.realtime_url.is_empty()) {
        config.realtime_url = format!("ws://{address}/ws");
    }
    let mut pages = web::pages(web::Deps {
        event: wire(event::NAME)?,
        email_worker: wire(email_worker::NAME)?,
        realtime_url: config.realtime_url.clone(),
        mailbox: parts.settings.has_mailbox(),
        clock: parts.clock.clone(),
    })
    .map_err(|error| StartError::build("web", error))?;
    if parts.settings.has_mailbox() {
        pages = pages.merge(demo_accounts::routes(&crate::seed::accounts(&parts.key)));
    }
    let deps = gateway::Deps {
        auth: wire(auth::NAME)?,
        user: wire(user::NAME)?,
        event: wire(event::NAME)?,
        ticket: wire(ticket::NAME)?,
        booking: wire(booking::NAME)?,
        payment: wire(payment::NAME)?,
        realtime: wire(realtime::NAME)?,
        booking_worker: wire(booking_worker::NAME)?,
        email_worker: wire(email_worker::NAME)?,
        kv: parts.kv.clone(),
        access: parts.access(gateway::NAME)?,
        pages,
    };
    gateway::build(config, deps).map_err(|error| StartError::build(gateway::NAME, error))
}

/// The Stripe sandbox as a unit of its own, where it runs.
pub(crate) fn sandbox(parts: &Parts) -> Result<Option<Unit>, StartError> {
    if !parts.addresses.contains_key(SANDBOX) {
        return Ok(None);
    }
    let deps = stripe_sandbox::Deps {
        db: parts.db(SANDBOX)?,
        clock: parts.clock.clone(),
        ids: parts.ids.clone(),
        nearby: parts.nearby.clone(),
    };
    let sandbox = stripe_sandbox::build(parts.config(SANDBOX)?, deps)
        .map_err(|error| StartError::build(SANDBOX, error))?;
    let worker = sandbox.worker;
    let unit = Unit::new(SANDBOX, platform::Metrics::new(), Tasks::new())
        .http(sandbox.router)
        .task(move |tasks| {
            let stop = tasks.stopping();
            tasks.spawn("deliver_webhooks", async move { worker.run(stop).await });
        });
    Ok(Some(unit))
}

/// Reads and checks every service's section of the configuration, so that a wrong value anywhere is
/// found before anything starts.
pub(crate) fn check(settings: &Settings) -> Result<(), StartError> {
    fn section<T: serde::de::DeserializeOwned, E: std::fmt::Display>(
        tree: &Tree,
        name: &str,
        check: impl FnOnce(&T) -> Result<(), E>,
    ) -> Result<(), StartError> {
        let config = tree.section(name)?;
        check(&config).map_err(|error| StartError::build(name, error))
    }
    let mut tree = settings.tree.clone();
    if settings.process.sandbox {
        // Made from the deployment's secret.
        for key in ["payment.stripe_secret_key", "payment.stripe_webhook_secret"] {
            tree.set(key, "the sandbox's")?;
        }
    }
    section(&tree, auth::NAME, auth::Config::check)?;
    section(&tree, user::NAME, |_: &user::Config| Ok::<_, StartError>(()))?;
    section(&tree, event::NAME, event::Config::check)?;
    section(&tree, ticket::NAME, ticket::Config::check)?;
    section(&tree, booking::NAME, booking::Config::check)?;
    section(&tree, payment::NAME, payment::Config::check)?;
    section(&tree, realtime::NAME, realtime::Config::check)?;
    section(&tree, booking_worker::NAME, booking_worker::Config::check)?;
    section(&tree, email_worker::NAME, email_worker::Config::check)?;
    section(&tree, gateway::NAME, gateway::Config::check)?;
    section(&tree, SANDBOX, |_: &stripe_sandbox::Config| Ok::<_, StartError>(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sources;

    #[test]
    fn a_value_out_of_range_is_found_before_anything_starts() {
        let check = |values: &[(&str, &str)]| {
            let values = values.iter().map(|(key, value)| ((*key).into(), (*value).into()));
            let sources = Sources { values: values.collect(), ..Sources::default() };
            check(&Settings::load(&sources).unwrap()).map_err(|error| error.to_string())
        };
        assert_eq!(check(&[]), Ok(()));
        for key in ["booking.hold_ttl_seconds", "auth.pin_attempts", "ticket.max_batch"] {
            let refused = check(&[(key, "0")]).unwrap_err();
            let (_, name) = key.split_once('.').unwrap();
            assert!(refused.contains(name), "{refused}");
        }
        let stripe = check(&[("boxoffice.sandbox", "false")]).unwrap_err();
        assert!(stripe.contains("stripe_secret_key"), "without the sandbox: {stripe}");
    }
}
