//! Kafka 3.9: one node that is broker and controller (KRaft).

use std::{
    fs,
    ops::Deref,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Failure, Keep, Kind, Server,
    install::{find, find_or_install, number_after, output},
    place,
};

const VERSION: &str = "3.9.1";
const OLDEST_JAVA: u32 = 17;
/// What Maven fetches, beside all that these need themselves.
const JARS: [(&str, &str, &str); 2] =
    [("org.apache.kafka", "kafka_2.13", VERSION), ("org.slf4j", "slf4j-reload4j", "1.7.36")];
const FETCH: &str = "org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies";

/// One small node that starts quickly. Its heartbeats are frequent, as a new broker waits for one,
/// and one that was killed for the end of its predecessor's session.
const SETTINGS: &str = "\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
num.partitions=3
default.replication.factor=1
auto.create.topics.enable=false
offsets.topic.num.partitions=3
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.heartbeat.interval.ms=200
broker.session.timeout.ms=3000
log.cleaner.dedupe.buffer.size=4194304
num.network.threads=2
num.io.threads=4
";
const LOGGING: &str = "\
log4j.rootLogger=WARN, stdout
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=%d %p %c: %m%n
";
/// A heap for a few topics, the collector that is ready soonest, and no files outside its
/// directory.
const JAVA_ARGUMENTS: &str = "-Xms256m -Xmx512m -XX:+UseSerialGC -XX:-UsePerfData \
    -Djava.io.tmpdir=. -Dlog4j.configuration=file:./log4j.properties";
/// The compiler that is ready soonest, and no better one after it.
const AT_ONCE: &str = "-XX:TieredStopAtLevel=1";

/// How Kafka is to run.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// Where its jars are kept from one start to the next; fetched into it if they are missing.
    pub jars: PathBuf,
    /// How long it is there.
    pub keep: Keep,
    /// Whether it is to be quick in the long run, as a broker of a deployment is, and not at once:
    /// what it does often is compiled a second time, and better.
    pub is_lasting: bool,
}

impl Default for KafkaOptions {
    /// Jars in this checkout's target directory.
    fn default() -> Self {
        let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or(usual, PathBuf::from);
        let jars = target.join(format!("kafka-{VERSION}"));
        Self { jars, keep: Keep::WhileOwned, is_lasting: false }
    }
}

/// A running Kafka.
#[derive(Debug)]
pub struct Kafka(Server);

impl Deref for Kafka {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl Kafka {
    /// Starts one, without any topic.
    ///
    /// # Errors
    /// Why there is none, and how to get what is missing.
    pub fn start(options: &KafkaOptions) -> Result<Self, Failure> {
        let java = java()?;
        fetch_jars(&options.jars)?;
        let mut server = Server::new(Kind::Kafka, &options.keep)?;
        bring_jars(&options.jars, &server.directory().join("jars"))?;
        let cluster = place::random_hex(11)?;
        server.write("cluster-id", &cluster)?;
        server.write("log4j.properties", LOGGING)?;
        // What formatting the storage would write; running Kafka's tool for it takes a second.
        server.make_directory("topics")?;
        let storage = format!("version=1\ncluster.id={cluster}\nnode.id=1\n");
        server.write("topics/meta.properties", &storage)?;
        server.start(|server| {
            let controller = place::free_port()?;
            let broker = server.port();
            let settings = format!(
                "{SETTINGS}listeners=PLAINTEXT://127.0.0.1:{broker},\
                 CONTROLLER://127.0.0.1:{controller}\n\
                 advertised.listeners=PLAINTEXT://127.0.0.1:{broker}\n\
                 controller.quorum.voters=1@127.0.0.1:{controller}\nlog.dirs={}/topics\n",
                server.directory().display(),
            );
            server.write("server.properties", &settings)?;
            let java = java.display();
            let compiler = if options.is_lasting { "" } else { AT_ONCE };
            Ok(format!(
                "exec '{java}' {JAVA_ARGUMENTS} {compiler} -cp 'jars/*' kafka.Kafka \
                 server.properties"
            ))
        })?;
        Ok(Self(server))
    }

    /// Its address, as `bootstrap.servers` takes it.
    #[must_use]
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// As a plain server.
    #[must_use]
    pub fn into_server(self) -> Server {
        self.0
    }
}

fn java() -> Result<PathBuf, Failure> {
    let packages = ["openjdk-17-jre-headless", "default-jre-headless"];
    find_or_install("Java 17 or later", &packages, || {
        let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
        [home, find("java")].into_iter().flatten().find(|java| is_new_enough(java))
    })
}

fn is_new_enough(java: &Path) -> bool {
    // It writes its version to the standard error.
    let mut shell = Command::new("sh");
    shell.args(["-c", r#""$1" -version 2>&1"#, "version"]).arg(java);
    let version = output(&mut shell).unwrap_or_default();
    number_after(&version, "version \"").is_some_and(|major| major >= OLDEST_JAVA)
}

/// Fetches Kafka's jars into `jars` unless they are there. Several processes may do so at once:
/// each fetches into a directory of its own, and the first to be done gives it its name.
fn fetch_jars(jars: &Path) -> Result<(), Failure> {
    if jars.is_dir() {
        return Ok(());
    }
    let maven = find_or_install("Maven", &["maven"], || find("mvn"))?;
    let parent = jars.parent().unwrap_or(Path::new("."));
    let partial = parent.join(format!("kafka-partial-{}", place::random_hex(4)?));
    fs::create_dir_all(&partial).map_err(|error| Failure::at(&partial, &error))?;
    let fetched = fetch_into(&partial, &maven);
    if fetched.is_ok() && fs::rename(partial.join("jars"), jars).is_err() && !jars.is_dir() {
        return Err(Failure::new(format!("{} can't be made", jars.display())));
    }
    let _or_left_for_cargo_clean = fs::remove_dir_all(&partial);
    fetched
}

fn fetch_into(partial: &Path, maven: &Path) -> Result<(), Failure> {
    let dependencies: String = JARS
        .iter()
        .map(|(group, artifact, version)| {
            format!(
                "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
                 <version>{version}</version></dependency>"
            )
        })
        .collect();
    let project = format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>boxoffice</groupId><artifactId>kafka</artifactId><version>1</version>\
         <packaging>pom</packaging><dependencies>{dependencies}</dependencies></project>"
    );
    fs::write(partial.join("pom.xml"), project)?;
    let mut fetch = Command::new(maven);
    fetch.current_dir(partial).args(["-q", "-B", FETCH, "-DoutputDirectory=jars"]);
    output(&mut fetch).map(drop).map_err(|error| {
        Failure::new(format!("Kafka's jars can't be fetched from Maven Central: {error}"))
    })
}

/// Links the jars (or copies them, to another file system) to where Kafka's account reads them:
/// the target directory may be in a home that it may not enter.
fn bring_jars(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir(to).map_err(|error| Failure::at(to, &error))?;
    for entry in fs::read_dir(from).map_err(|error| Failure::at(from, &error))? {
        let jar = entry?;
        let place = to.join(jar.file_name());
        if fs::hard_link(jar.path(), &place).is_err() {
            fs::copy(jar.path(), &place).map_err(|error| Failure::at(&place, &error))?;
        }
    }
    Ok(())
}
