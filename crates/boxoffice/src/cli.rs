//! The command line: `up`, `serve`, `migrate`, `seed`, `doctor`, `demo`, `rush`, `audit`,
//! `check-config`.

use std::{io::Write, path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Args, Parser, Subcommand};
use kernel::SystemClock;
use platform::SystemIds;

use crate::{
    DemoAccount, Running, SANDBOX, Settings, Sources, StartError, audit, compose, demo, doctor,
    print::say,
    rush::{self, RushArgs},
    topology::ROLES,
};

/// A wrong configuration, a port that is taken, a state directory that can't be used.
const EXIT_CANT_START: u8 = 2;

#[derive(Debug, Parser)]
#[command(
    name = "boxoffice",
    version,
    about = "Sells tickets: ten services in one process, or each in its own"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Debug, Clone, Args)]
struct SettingsArgs {
    /// Configuration file [default: boxoffice.toml, where it exists]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where state is kept [default: ./data]
    #[arg(long, global = true, value_name = "DIRECTORY")]
    state: Option<PathBuf>,
    /// Sets one key, such as booking.hold_ttl_seconds=600; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts all services in this process (also without a command)
    Up,
    /// Starts some of the services in this process
    Serve {
        /// Names: auth, user, event, ticket, booking, payment, realtime, gateway, booking-worker,
        /// email-worker, stripe-sandbox
        #[arg(required = true)]
        services: Vec<String>,
    },
    /// Brings the databases up to date and makes the topics of the event log, and ends
    Migrate,
    /// Makes the demo accounts and events on services that run elsewhere ([remotes]), and ends
    Seed,
    /// Looks at configuration, databases, replicas, clocks, Redis, Kafka and services: a line each,
    /// exit code 1 if anything is in the way
    Doctor,
    /// Walks real journeys through a platform of its own, in a temporary directory, and checks
    /// every answer
    Demo {
        /// One JSON object a step
        #[arg(long)]
        json: bool,
        /// Walks through the platform whose gateway is at this address instead, such as
        /// http://127.0.0.1:3000
        #[arg(long, value_name = "URL")]
        against: Option<String>,
    },
    /// Reads every store of a platform, also while it runs, and says what breaks a promise: a line
    /// a rule; exit code 1 if one is broken, 2 if a store can't be read
    Audit(audit::Args),
    /// Plays an on-sale at full load, measures the platform, and checks what must be so: on a
    /// platform of its own, in a temporary directory, unless an address is given
    Rush(Box<RushArgs>),
    /// Checks the configuration and prints what is in force
    CheckConfig,
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            say_error(&format!("boxoffice: {error}"));
            ExitCode::from(EXIT_CANT_START)
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, StartError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError::build("runtime", error))?;
    match cli.command.unwrap_or(Command::Up) {
        Command::Up => runtime.block_on(up(load(cli.settings, &[])?)),
        Command::Serve { services } => runtime.block_on(up(load(cli.settings, &services)?)),
        Command::Migrate => runtime.block_on(doctor::migrate(&load(cli.settings, &[])?)),
        Command::Seed => runtime.block_on(seed(&load(cli.settings, &[])?)),
        Command::Audit(args) => runtime.block_on(audit::audit(&load(cli.settings, &[])?, args)),
        Command::Doctor => runtime.block_on(doctor::examine(&load(cli.settings, &[])?)),
        Command::Demo { json, against: Some(gateway) } => {
            Ok(runtime.block_on(demo::run_against(&gateway, json)))
        }
        Command::Demo { json, against: None } => {
            Ok(runtime.block_on(demo::run(json, &cli.settings.set))?)
        }
        Command::Rush(args) => {
            Ok(runtime.block_on(rush::run(&args, cli.settings.set)).unwrap_or_else(|error| {
                say_error(&format!("boxoffice rush: {error}"));
                ExitCode::from(EXIT_CANT_START)
            }))
        }
        Command::CheckConfig => {
            let settings = load(cli.settings, &[])?;
            compose::check(&settings)?;
            say(&settings.tree.to_string());
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn load(args: SettingsArgs, services: &[String]) -> Result<Settings, StartError> {
    let mut sources = Sources { file: args.config, environment: true, values: args.set };
    if let Some(state) = args.state {
        sources.values.push(("boxoffice.state_directory".into(), state.display().to_string()));
    }
    if !services.is_empty() {
        let names: Vec<_> = services.iter().map(|name| format!("{name:?}")).collect();
        sources.values.push(("boxoffice.roles".into(), format!("[{}]", names.join(", "))));
    }
    Ok(Settings::load(&sources)?)
}

async fn up(settings: Settings) -> Result<ExitCode, StartError> {
    platform::telemetry::start(&settings.log)
        .map_err(|detail| StartError::build("log.filter", detail))?;
    let began = tokio::time::Instant::now();
    let running = crate::start(settings).await?;
    say(&greeting(&running, began.elapsed()));
    tokio::select! {
        () = wait_for_signal() => {}
        never = reload_on_hangup(&running) => match never {},
    }
    say("stopping; once more to abort");
    tokio::select! {
        () = running.stop() => Ok(ExitCode::SUCCESS),
        () = wait_for_signal() => Ok(ExitCode::FAILURE),
    }
}

/// Makes the demo on services that run in other processes.
async fn seed(settings: &Settings) -> Result<ExitCode, StartError> {
    for service in ["auth", "event"] {
        if !settings.remotes.contains_key(service) {
            return Err(StartError::Demo(format!(
                "remotes.{service} is empty: where does it run?"
            )));
        }
    }
    let key = compose::deployment_key(settings, None, &SystemIds)?;
    let mesh = compose::mesh(settings, &key, Arc::new(SystemClock))?;
    let accounts = crate::seed::demo((&mesh, &SystemClock), &key).await?;
    say(&logins(&accounts));
    Ok(ExitCode::SUCCESS)
}

fn logins(accounts: &[DemoAccount]) -> String {
    let line = |account: &DemoAccount| {
        let password = account.password.expose();
        format!("    {:<13} {:<28} {password}", account.title, account.email)
    };
    accounts.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What a person needs to know once everything is ready.
fn greeting(running: &Running, took: std::time::Duration) -> String {
    let mut lines =
        vec![format!("boxoffice is ready after {} ms", took.as_millis()), String::new()];
    let names = ROLES.iter().map(|role| role.name).chain([SANDBOX]);
    for name in names.filter(|name| running.services().contains_key(name)) {
        let faces = running.addresses(name);
        let face = |label: &str, address: Option<_>| {
            address.map_or_else(String::new, |a: std::net::SocketAddr| format!("  {label} {a}"))
        };
        lines.push(format!(
            "  {name:<15}{}{}{}",
            face("grpc", faces.grpc),
            face("http", faces.http),
            face("metrics", faces.metrics),
        ));
    }
    if let Some(gateway) = running.addresses("gateway").http {
        lines.push(format!("\n  start here    http://{gateway}/"));
        lines.push(format!("  api           http://{gateway}/api/docs"));
        if running.has_mailbox() {
            lines.push(format!("  mailbox       http://{gateway}/mailbox"));
        }
    }
    if let Some(state) = running.state_directory() {
        lines.push(format!("  state         {}", state.display()));
    }
    if !running.new_accounts().is_empty() {
        lines.push("\n  demo accounts (later to be read at /demo/accounts):".to_owned());
        lines.push(logins(running.new_accounts()));
    }
    lines.push("\n  ctrl-c stops".to_owned());
    lines.join("\n")
}

/// Reads the certificates again at each SIGHUP.
async fn reload_on_hangup(running: &Running) -> std::convert::Infallible {
    use tokio::signal::unix::{SignalKind, signal};
    // Without a handler the signal ends the process by itself.
    let Ok(mut hangups) = signal(SignalKind::hangup()) else { return std::future::pending().await };
    loop {
        hangups.recv().await;
        match running.reload_certificates() {
            Ok(()) => tracing::info!("certificates read again"),
            Err(error) => tracing::error!(%error, "certificates not read again"),
        }
    }
}

async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        },
        Err(_) => {
            // Without a handler the signal ends the process by itself.
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}

fn say_error(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        assert!(key_and_value("a.b=c=d").unwrap() == ("a.b".into(), "c=d".into()));
        assert!(key_and_value("a.b").is_err());
        let help = Cli::command().render_long_help().to_string();
        assert!(["demo", "doctor", "audit"].iter().all(|name| help.contains(name)));
    }
}
