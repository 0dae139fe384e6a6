//! Asking a server whether it is truly ready, in its own protocol: a few bytes over a socket.
//! Each is also asked whose it is, as somebody else's server may have taken the port.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use crate::{Failure, kind::Kind};

/// How long a server that is ready takes at most.
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// The largest answer that is read.
const ANSWER_BYTES: i32 = 1 << 20;

/// Succeeds if the server in `directory` is ready.
pub(crate) fn ask(kind: Kind, port: u16, directory: &Path) -> Result<(), Failure> {
    match kind {
        Kind::Postgres => postgres_is(port, directory, "show data_directory"),
        Kind::Replica => {
            postgres_is(port, directory, "show data_directory")?;
            expect("t", &query(port, STREAMS, ANSWER_TIME)?)
        }
        Kind::PgBouncer => expect("1", &query(port, "select 1", ANSWER_TIME)?),
        Kind::Redis => redis(port, directory),
        Kind::Kafka => kafka(port, directory),
    }
}

const STREAMS: &str = "select pg_is_in_recovery() and exists \
    (select from pg_stat_wal_receiver where status = 'streaming')";

fn postgres_is(port: u16, directory: &Path, statement: &str) -> Result<(), Failure> {
    expect(&directory.join("cluster").to_string_lossy(), &query(port, statement, ANSWER_TIME)?)
}

fn expect(expected: &str, got: &[String]) -> Result<(), Failure> {
    if got.first().is_some_and(|got| got == expected) {
        return Ok(());
    }
    Err(Failure::new(format!("it answers {got:?}, not {expected:?}")))
}

fn connect(port: u16, patience: Duration) -> io::Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    Ok(stream)
}

/// Puts `statement` to PostgreSQL as the superuser, whom it trusts. The first column of every row.
pub(crate) fn query(
    port: u16,
    statement: &str,
    patience: Duration,
) -> Result<Vec<String>, Failure> {
    let mut stream = connect(port, patience)?;
    let mut startup = 196_608_i32.to_be_bytes().to_vec(); // version 3.0
    startup.extend(b"user\0postgres\0database\0postgres\0\0");
    stream.write_all(&with_length(&startup))?;
    let statement = [statement.as_bytes(), b"\0"].concat();
    let mut rows = Vec::new();
    let mut asked = false;
    loop {
        let (kind, body) = postgres_message(&mut stream)?;
        match kind {
            b'Z' if asked => return Ok(rows),
            b'Z' => {
                stream.write_all(&[b"Q", &with_length(&statement)[..]].concat())?;
                asked = true;
            }
            b'D' => rows.push(first_column(&body).unwrap_or_default()),
            b'E' => {
                let text = String::from_utf8_lossy(&body);
                let message = text.split('\0').find_map(|field| field.strip_prefix('M'));
                return Err(Failure::new(message.unwrap_or("an error").to_owned()));
            }
            b'R' if body != [0; 4] => return Err(Failure::new("it asks for a password")),
            _ => {}
        }
    }
}

/// A message with its length, itself included, in front.
fn with_length(body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len() + 4).unwrap_or(i32::MAX);
    [&length.to_be_bytes()[..], body].concat()
}

fn postgres_message(stream: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let mut kind = [0];
    stream.read_exact(&mut kind)?;
    let [kind] = kind;
    Ok((kind, counted(stream, 4)?))
}

/// Bytes after a length that counts `own` bytes more than they are.
fn counted(stream: &mut TcpStream, own: i32) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = i32::from_be_bytes(length) - own;
    if !(0..ANSWER_BYTES).contains(&length) {
        return Err(io::Error::other("an answer of a strange length"));
    }
    let mut body = vec![0; usize::try_from(length).unwrap_or_default()];
    stream.read_exact(&mut body)?;
    Ok(body)
}

/// Of a row: a count of columns, then each with its length before it.
fn first_column(row: &[u8]) -> Option<String> {
    let mut row = Bytes(row);
    row.int16()?;
    let length = usize::try_from(row.int32()?).ok()?;
    Some(String::from_utf8_lossy(row.take(length)?).into_owned())
}

/// `PING` alone is not enough: while Redis reads its files back it refuses everything.
fn redis(port: u16, directory: &Path) -> Result<(), Failure> {
    let mut stream = connect(port, ANSWER_TIME)?;
    stream.write_all(b"PING\r\nCONFIG GET dir\r\nQUIT\r\n")?;
    let mut lines = Vec::new();
    for line in BufReader::new(stream.take(1 << 12)).lines() {
        lines.push(line?);
    }
    let directory = directory.to_string_lossy();
    if lines.first().is_some_and(|line| line == "+PONG") && lines.iter().any(|l| *l == directory) {
        return Ok(());
    }
    Err(Failure::new(format!("it answers {lines:?}")))
}

/// Asks for metadata (version 2, no topics). Ready is a broker that knows itself, unfenced, and a
/// controller, in the cluster of `directory`.
fn kafka(port: u16, directory: &Path) -> Result<(), Failure> {
    let cluster = std::fs::read_to_string(directory.join("cluster-id"))?;
    let mut stream = connect(port, ANSWER_TIME)?;
    let mut request = Vec::new();
    request.extend(3_i16.to_be_bytes()); // Metadata
    request.extend(2_i16.to_be_bytes()); // version
    request.extend(7_i32.to_be_bytes()); // correlation
    request.extend((-1_i16).to_be_bytes()); // no client id
    request.extend(0_i32.to_be_bytes()); // no topics
    let length = i32::try_from(request.len()).unwrap_or_default();
    stream.write_all(&[&length.to_be_bytes()[..], &request].concat())?;
    let answer = counted(&mut stream, 0)?;
    let broken = || Failure::new("its metadata can't be read");
    let (brokers, answered_by, controller) = metadata(&answer).ok_or_else(broken)?;
    if answered_by != cluster {
        return Err(Failure::new(format!("cluster {answered_by:?} answers")));
    }
    if brokers.contains(&i32::from(port)) && controller >= 0 {
        return Ok(());
    }
    Err(Failure::new("its broker is not registered yet"))
}

/// Ports of the brokers, the cluster's id, the controller.
fn metadata(answer: &[u8]) -> Option<(Vec<i32>, String, i32)> {
    let mut answer = Bytes(answer);
    answer.int32()?; // correlation
    let count = answer.int32()?;
    let mut ports = Vec::new();
    for _ in 0..count {
        answer.int32()?; // node
        answer.string()?; // host
        ports.push(answer.int32()?);
        answer.string()?; // rack
    }
    let cluster = answer.string()?;
    Some((ports, cluster, answer.int32()?))
}

/// Reads numbers and texts off the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn int16(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn int32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// An absent text (length -1) is empty.
    fn string(&mut self) -> Option<String> {
        let length = usize::try_from(self.int16()?.max(0)).ok()?;
        Some(String::from_utf8_lossy(self.take(length)?).into_owned())
    }
}
