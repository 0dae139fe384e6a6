//! A connection, on which one request follows the other's answer.

use std::{
    io::{self, ErrorKind},
    str::FromStr,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Answer, Call, Lost, lost};

const ROOM_BYTES: usize = 4_096;
const MAX_BODY_BYTES: usize = 16 * 1_024 * 1_024;
const MAX_HEADERS: usize = 64;

/// After a failure it is of no use any more.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// The request, then what came of its answer.
    bytes: Vec<u8>,
}

/// What the head of an answer says.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Where the body begins.
    ends: usize,
    body: Body,
    retry_after: Option<Duration>,
    /// Whether the connection goes on.
    keeps: bool,
}

/// How long a body is.
#[derive(Debug, PartialEq, Eq)]
enum Body {
    Sized(usize),
    Chunked,
    /// It ends with the connection.
    ToTheEnd,
}

impl Connection {
    pub(super) const fn new(stream: TcpStream) -> Self {
        Self { stream, bytes: Vec::new() }
    }

    /// Whether the server has neither closed it nor said anything that nobody asked for.
    pub(super) fn is_open(&self) -> bool {
        let read = self.stream.try_read(&mut [0]);
        read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Makes a request; answers whether there can be another.
    ///
    /// # Errors
    /// If no whole answer came.
    pub(super) async fn ask(&mut self, call: &Call, host: &str) -> Result<(Answer, bool), Lost> {
        self.bytes.clear();
        self.bytes.reserve(ROOM_BYTES);
        call.write(host, &mut self.bytes);
        self.stream.write_all(&self.bytes).await.map_err(|error| lost("sending")(&error))?;
        self.bytes.clear();
        self.answer().await.map_err(|error| lost("reading")(&error))
    }

    async fn answer(&mut self) -> io::Result<(Answer, bool)> {
        let head = loop {
            self.more().await?;
            if let Some(head) = head(&self.bytes)? {
                break head;
            }
        };
        let Head { status, ends, retry_after, keeps, .. } = head;
        let body = match head.body {
            Body::Sized(length) => {
                while self.bytes.len() < ends + length {
                    self.more().await?;
                }
                Bytes::copy_from_slice(self.bytes.get(ends..ends + length).unwrap_or_default())
            }
            Body::Chunked => self.chunks(ends).await?,
            Body::ToTheEnd => {
                self.stream.read_to_end(&mut self.bytes).await?;
                Bytes::copy_from_slice(self.bytes.get(ends..).unwrap_or_default())
            }
        };
        Ok((Answer { status, retry_after, body }, keeps))
    }

    /// The body in chunks from `at` on (RFC 9112, 7.1).
    async fn chunks(&mut self, mut at: usize) -> io::Result<Bytes> {
        let mut body = Vec::new();
        loop {
            let rest = self.bytes.get(at..).unwrap_or_default();
            let size = httparse::parse_chunk_size(rest).map_err(|_| wrong("a wrong chunk"))?;
            let httparse::Status::Complete((skip, size)) = size else {
                self.more().await?;
                continue;
            };
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            if size > MAX_BODY_BYTES - body.len().min(MAX_BODY_BYTES) {
                return Err(wrong("a body that is too large"));
            }
            let from = at + skip;
            at = from + size + 2;
            while self.bytes.len() < at {
                self.more().await?;
            }
            if size == 0 {
                return Ok(body.into());
            }
            body.extend_from_slice(self.bytes.get(from..from + size).unwrap_or_default());
        }
    }

    /// Reads what comes next.
    async fn more(&mut self) -> io::Result<()> {
        if self.bytes.len() > 2 * MAX_BODY_BYTES {
            return Err(wrong("an answer that is too large"));
        }
        match self.stream.read_buf(&mut self.bytes).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn wrong(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// The head, once it is whole.
fn head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    let parsed = answer.parse(bytes).map_err(|_| wrong("no answer"))?;
    let httparse::Status::Complete(ends) = parsed else { return Ok(None) };
    let status = answer.code.unwrap_or_default();
    let find = |name: &str| {
        let found = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok()).map(str::trim)
    };
    let says =
        |name: &str, word: &str| find(name).is_some_and(|its| its.eq_ignore_ascii_case(word));
    let body = match find("content-length").map(usize::from_str) {
        _ if [204, 304].contains(&status) => Body::Sized(0),
        _ if says("transfer-encoding", "chunked") => Body::Chunked,
        Some(Ok(length)) if length <= MAX_BODY_BYTES => Body::Sized(length),
        Some(_) => return Err(wrong("a wrong length")),
        None => Body::ToTheEnd,
    };
    let retry_after = find("retry-after").and_then(|seconds| seconds.parse().ok());
    let keeps = body != Body::ToTheEnd && !says("connection", "close");
    let retry_after = retry_after.map(Duration::from_secs);
    Ok(Some(Head { status, ends, body, retry_after, keeps }))
}

#[cfg(test)]
mod tests {
    use http::Method;
    use tokio::net::TcpListener;

    use super::*;

    /// What a server that says this, piece by piece, and hangs up is understood to have said.
    async fn told(pieces: &'static [&'static str]) -> Result<(Answer, bool), Lost> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let says = async move {
            let mut asked = [0; 1_024];
            let count = server.read(&mut asked).await.unwrap();
            for piece in pieces {
                server.write_all(piece.as_bytes()).await.unwrap();
                server.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
            String::from_utf8(asked[..count].to_vec()).unwrap()
        };
        let call = Call::new(Method::PUT, "/x", "body".into()).unwrap();
        let mut connection = Connection::new(stream);
        let (asked, answer) = tokio::join!(says, connection.ask(&call, "there"));
        assert_eq!(asked, "PUT /x HTTP/1.1\r\nhost: there\r\ncontent-length: 4\r\n\r\nbody");
        answer
    }

    #[tokio::test]
    async fn answers_end_where_they_say() {
        let (answer, keeps) =
            told(&["HTTP/1.1 503 Busy\r\nRetry-", "After: 7\r\nContent-Length: 4\r\n\r\nbo", "dy"])
                .await
                .unwrap();
        assert_eq!((answer.status, &answer.body[..], keeps), (503, &b"body"[..], true));
        assert_eq!(answer.retry_after, Some(Duration::from_secs(7)));

        let (answer, keeps) = told(&[
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "4\r\nbo",
            "dy\r\n1",
            "0\r\n0123456789abcdef\r\n0\r\n\r\n",
        ])
        .await
        .unwrap();
        assert_eq!((&answer.body[..], keeps), (&b"body0123456789abcdef"[..], true));

        let (answer, keeps) = told(&["HTTP/1.1 200 OK\r\n\r\nall ", "of it"]).await.unwrap();
        assert_eq!((&answer.body[..], keeps), (&b"all of it"[..], false));
        let (answer, keeps) = told(&["HTTP/1.1 204 No Content\r\n\r\n"]).await.unwrap();
        assert_eq!((answer.body.len(), keeps), (0, true));
        let closing = &["HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"];
        assert!(!told(closing).await.unwrap().1);
    }

    #[tokio::test]
    async fn what_is_no_whole_answer_is_lost() {
        for pieces in [
            &["HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbod"] as &'static [_],
            &["HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n"],
            &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n"],
            &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffff\r\n"],
            &["SSH-2.0-server\r\n"],
            &[""],
        ] {
            assert!(told(pieces).await.is_err(), "{pieces:?}");
        }
    }
}
