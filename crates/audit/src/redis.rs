//! Reads the waiting queue of a Redis, key by key as it is there: no script of its owner is run.

use redis::{Connection, Iter, RedisError};
use rusqlite::types::Value;

use crate::{Error, facts::Depth, notes::Notes};

const STORE: &str = "the queue in Redis";
/// How many members an answer may have, about.
const AT_ONCE: usize = 2_000;

/// Takes over all lines. Blocks.
pub(crate) fn take(url: &str, namespace: &str, depth: Depth, notes: &Notes) -> Result<(), Error> {
    let wrong = |error: RedisError| Error::store(STORE, error);
    let client = redis::Client::open(url).map_err(wrong)?;
    let mut connection = client.get_connection().map_err(wrong)?;
    let (before, after) = (format!("{namespace}queue:{{"), "}:head");
    let pattern = format!("{}*{after}", before.replace(['[', ']', '*', '?'], "?"));
    let mut scan = redis::cmd("SCAN");
    scan.cursor_arg(0).arg("MATCH").arg(pattern).arg("COUNT").arg(AT_ONCE);
    let found: Iter<'_, String> = scan.iter(&mut connection).map_err(wrong)?;
    let mut keys = found.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    // A scan may answer a key twice.
    keys.sort_unstable();
    keys.dedup();
    notes.run("begin")?;
    for key in keys {
        let Some(name) = key.strip_prefix(&before).and_then(|key| key.strip_suffix(after)) else {
            continue;
        };
        let line = format!("{before}{name}}}:");
        take_line(&mut connection, (&line, name), depth, notes)?;
    }
    notes.run("commit")
}

fn take_line(
    connection: &mut Connection,
    (line, name): (&str, &str),
    depth: Depth,
    notes: &Notes,
) -> Result<(), Error> {
    let wrong = |error: RedisError| Error::store(STORE, error);
    let mut ask = redis::cmd("HMGET");
    ask.arg(format!("{line}head")).arg("last").arg("serving");
    let (last, serving): (Option<i64>, Option<i64>) = ask.query(connection).map_err(wrong)?;
    let members = format!("{line}members");
    let waiting: i64 = redis::cmd("HLEN").arg(&members).query(connection).map_err(wrong)?;
    let last = last.unwrap_or(0);
    // A line that nobody has ever joined is only settings.
    if last == 0 && waiting == 0 {
        return Ok(());
    }
    let numbers = [last, serving.unwrap_or(0), waiting].map(Value::Integer);
    let [last, serving, waiting] = numbers;
    notes.add("line", &[Value::Text(name.to_owned()), last, serving, waiting])?;
    if depth == Depth::All {
        // claims:number:… and number:…
        for (table, key, at) in [("place", members, 1), ("outcome", format!("{line}outcomes"), 0)] {
            take_hash(connection, (table, name), (&key, at), notes)?;
        }
    }
    Ok(())
}

/// Each member of the hash at `key`, with the number that is the field `at` of its value.
fn take_hash(
    connection: &mut Connection,
    (table, name): (&str, &str),
    (key, at): (&str, usize),
    notes: &Notes,
) -> Result<(), Error> {
    let wrong = |error: RedisError| Error::store(STORE, error);
    let mut scan = redis::cmd("HSCAN");
    scan.arg(key).cursor_arg(0).arg("COUNT").arg(AT_ONCE);
    let found: Iter<'_, (String, String)> = scan.iter(connection).map_err(wrong)?;
    let mut seen = std::collections::HashSet::new();
    for entry in found {
        let (member, value) = entry.map_err(wrong)?;
        let number = value.split(':').nth(at).and_then(|number| number.parse().ok());
        let number: i64 =
            number.ok_or_else(|| Error::store(STORE, format!("{member} of {key} is {value:?}")))?;
        // A scan may answer a member twice, but not with another number.
        if seen.insert((hash(&member), number)) {
            let name = Value::Text(name.to_owned());
            notes.add(table, &[name, Value::Integer(number), Value::Text(member)])?;
        }
    }
    Ok(())
}

fn hash(text: &str) -> u64 {
    crate::body_hash(text.as_bytes())
}
