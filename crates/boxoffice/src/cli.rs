//! The command line: `up`, `serve`, `demo`, `check-config`.

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::{Running, SANDBOX, Settings, Sources, StartError, demo, topology::ROLES};

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
        /// email-worker
        #[arg(required = true)]
        services: Vec<String>,
    },
    /// Walks real journeys through a platform of its own, in a temporary directory, and checks
    /// every answer
    Demo {
        /// One JSON object a step
        #[arg(long)]
        json: bool,
    },
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
        Command::Demo { json } => Ok(runtime.block_on(demo::run(json, &cli.settings.set))?),
        Command::CheckConfig => {
            let settings = load(cli.settings, &[])?;
            crate::compose::check(&settings)?;
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
    wait_for_signal().await;
    say("stopping; once more to abort");
    tokio::select! {
        () = running.stop() => Ok(ExitCode::SUCCESS),
        () = wait_for_signal() => Ok(ExitCode::FAILURE),
    }
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
    lines.push(format!("  state         {}", running.state_directory().display()));
    if !running.new_accounts().is_empty() {
        lines.push("\n  demo accounts (their passwords are shown this once):".to_owned());
        for account in running.new_accounts() {
            let password = account.password.expose();
            lines.push(format!("    {:<13} {:<28} {password}", account.title, account.email));
        }
    }
    lines.push("\n  ctrl-c stops".to_owned());
    lines.join("\n")
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

/// Prints to standard output; a closed one is no reason to fail.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
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
        assert!(help.contains("demo") && help.contains("check-config"));
    }
}
