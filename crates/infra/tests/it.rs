//! Real servers: each starts, survives a crash with what it knew, and leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "a test's failure is a panic")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use infra::{
    Kafka, KafkaOptions, Keep, PgBouncer, Postgres, PostgresOptions, Redis, RedisOptions, Server,
    Waited, living_in, until,
};

#[test]
fn postgres_and_its_replica_come_back_with_every_row() {
    let options = PostgresOptions { fsync: false, ..PostgresOptions::default() };
    let primary = Postgres::start(&options).unwrap();
    let replica = primary.add_replica(&Keep::WhileOwned).unwrap();
    let bouncer = PgBouncer::start(&primary).unwrap();
    assert!(primary.is_ready() && replica.is_ready() && bouncer.is_ready());
    primary.query("create table t as select 7 as id").unwrap();
    primary.kill().unwrap();
    assert!(!primary.is_ready() && primary.pid().is_none());
    primary.start_again().unwrap();
    assert_eq!(primary.query("select id from t").unwrap(), ["7"]);
    replica.stop().unwrap();
    primary.query("insert into t values (8)").unwrap();
    replica.start_again().unwrap();
    assert!(primary.query("select 1 from nowhere").unwrap_err().to_string().contains("nowhere"));
    primary.pause().unwrap();
    assert!(!primary.is_ready());
    primary.resume().unwrap();
    assert!(primary.is_ready());
    drop(bouncer);
    let directories = [primary.directory().to_owned(), replica.directory().to_owned()];
    replica.kill().unwrap();
    drop((replica, primary));
    assert!(directories.iter().all(|directory| !directory.exists()));
}

#[test]
fn redis_comes_back_with_every_key() {
    let redis = Redis::start(&RedisOptions::default()).unwrap();
    assert_eq!(ask(redis.port(), "SET seat A1"), "+OK");
    redis.kill().unwrap();
    redis.start_again().unwrap();
    assert_eq!(ask(redis.port(), "STRLEN seat"), ":2");
}

#[test]
fn a_kept_server_is_found_again_and_removed() {
    let home = std::env::temp_dir().join(format!("boxoffice-kept-{}", std::process::id()));
    let keep = Keep::In(home.clone());
    let started = Redis::start(&RedisOptions { keep, ..RedisOptions::default() }).unwrap();
    let pid = started.pid();
    drop(started);
    let found = Server::find(&home).unwrap();
    assert!(found.is_ready() && pid.is_some() && found.pid() == pid);
    found.kill().unwrap();
    found.start_again().unwrap();
    assert!(found.is_ready() && found.pid() != pid);
    found.remove().unwrap();
    assert!(!home.exists() && Server::find(&home).is_err());
}

#[test]
fn kafka_starts_and_comes_back() {
    let kafka = Kafka::start(&KafkaOptions::default()).unwrap();
    assert!(kafka.is_ready());
    kafka.kill().unwrap();
    assert!(!kafka.is_ready());
    kafka.start_again().unwrap();
    assert!(kafka.is_ready());
    let directory = kafka.directory().to_owned();
    drop(kafka);
    assert!(!directory.exists() && living_in(&directory).is_empty());
}

#[test]
fn a_server_goes_when_its_owner_is_killed() {
    let mut owner = Command::new(std::env::current_exe().unwrap());
    owner.args(["--exact", "owns_a_server_until_killed", "--ignored", "--nocapture"]);
    let mut owner = owner.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let said = lines.map(Result::unwrap).find(|line| line.contains("it is in /")).unwrap();
    let directory = PathBuf::from(said.split("it is in ").last().unwrap());
    assert_eq!(living_in(&directory).len(), 1);
    owner.kill().unwrap();
    owner.wait().unwrap();
    let gone = || (!directory.exists() && living_in(&directory).is_empty()).then_some(());
    assert_eq!(until(Duration::from_secs(10), gone), Waited::Came(()));
}

#[test]
#[ignore = "the other half of the test before it"]
fn owns_a_server_until_killed() {
    let redis = Redis::start(&RedisOptions::default()).unwrap();
    println!("it is in {}", redis.directory().display());
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

fn ask(port: u16, command: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}
