//! A kept HTTP/1.1 connection, with as little work a request as can be: the caller brings the bytes
//! of the request, and gets those of the answer.

use std::{net::SocketAddr, ops::Range};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::Failure;

const ROOM_BYTES: usize = 4_096;

/// A connection to one server; after a failure it is of no use any more.
pub(crate) struct Connection {
    stream: TcpStream,
    server: SocketAddr,
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// What was answered.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(server: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let room = || Vec::with_capacity(ROOM_BYTES);
        Ok(Self { stream, server, request: room(), answer: room() })
    }

    /// Sends `head` (the request line and headers, each with its line end) with a body of this
    /// type, and waits for the answer.
    pub(crate) async fn ask(&mut self, head: &[&str], body: &str) -> Result<Answer<'_>, Failure> {
        self.request.clear();
        for part in head {
            self.request.extend_from_slice(part.as_bytes());
        }
        let rest = format!("host: {}\r\ncontent-length: {}\r\n\r\n", self.server, body.len());
        self.request.extend_from_slice(rest.as_bytes());
        self.request.extend_from_slice(body.as_bytes());
        self.stream.write_all(&self.request).await?;
        self.answer.clear();
        loop {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err("the server hung up".into());
            }
            if let Some((status, body)) = complete(&self.answer)? {
                let body = self.answer.get(body).unwrap_or_default();
                return Ok(Answer { status, body });
            }
        }
    }
}

impl Answer<'_> {
    /// The text at the first `key` of the JSON, if it has no escapes.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        let after = |text: &str, what: &str| text.find(what).map(|at| at + what.len());
        let json = std::str::from_utf8(self.body).ok()?;
        let mut rest = json;
        while let Some(at) = after(rest, key) {
            let opens = rest.get(..at - key.len())?.ends_with('"');
            rest = rest.get(at..)?;
            if opens && let Some(value) = rest.strip_prefix("\":\"") {
                return value.split('"').next();
            }
        }
        None
    }

    /// What a refusal is called: the code of the problem.
    pub(crate) fn refusal(&self) -> String {
        let code = self.text("code").unwrap_or("no problem");
        format!("{} {code}", self.status)
    }
}

/// The status of an answer that is whole, and where its body is.
fn complete(answer: &[u8]) -> Result<Option<(u16, Range<usize>)>, Failure> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(answer.get(..end).unwrap_or_default())?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status: u16 = status.ok_or("an answer without a status")?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    let length = match length {
        Some(length) => length?,
        None if status == 204 => 0,
        None => return Err("an answer without a length".into()),
    };
    let body = end + 4..end + 4 + length;
    Ok((answer.len() >= body.end).then_some((status, body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_once_its_body_is() {
        let text = b"HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\nbody";
        assert_eq!(complete(text).unwrap(), Some((201, text.len() - 4..text.len())));
        for end in 0..text.len() {
            assert_eq!(complete(&text[..end]).unwrap(), None);
        }
        assert_eq!(complete(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap(), Some((204, 27..27)));
        assert!(complete(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn a_text_is_found_by_its_whole_key() {
        let body = br#"{"sub_status":"no","n":1,"status":"confirmed","code":""}"#;
        let answer = Answer { status: 200, body };
        assert_eq!(answer.text("status"), Some("confirmed"));
        assert_eq!((answer.text("code"), answer.text("n")), (Some(""), None));
    }
}
