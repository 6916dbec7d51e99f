//! The cheapest HTTP/1.1 client that measures fairly: requests are bytes made beforehand, an
//! answer is parsed only as far as is needed to know its status and where it ends.
//!
//! The generator shares the machine with the server it measures: what it spends, the server
//! lacks.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::caller::{Caller, Failure};
use super::http_body::{BodyEnd, Length, dechunked};

/// Longest head of an answer.
const MAX_HEAD: usize = 64 << 10;
/// How long to wait before a failed connection is reported.
const RECONNECT_DELAY: Duration = Duration::from_millis(20);

/// A caller over one kept-alive connection.
pub(crate) struct HttpCaller {
    address: SocketAddr,
    requests: Arc<[Bytes]>,
    connection: Option<Connection>,
}

impl HttpCaller {
    /// A caller of the server at `address`; connects when first used.
    pub(crate) fn new(address: SocketAddr, requests: Arc<[Bytes]>) -> Self {
        HttpCaller { address, requests, connection: None }
    }
}

impl Caller for HttpCaller {
    async fn call(&mut self, request: usize) -> Result<(), Failure> {
        // Taken out while in use: a call that is dropped halfway takes its connection along.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => match Connection::open(self.address).await {
                Ok(connection) => connection,
                Err(error) => {
                    tokio::time::sleep(RECONNECT_DELAY).await;
                    return Err(Failure::Connect(error.kind()));
                }
            },
        };
        let answer = connection.exchange(&self.requests[request], |_| ()).await?;
        if answer.keep_alive {
            self.connection = Some(connection);
        }
        match answer.status {
            200..300 => Ok(()),
            status => Err(Failure::http(status)),
        }
    }

    fn abandon(&mut self) {
        self.connection = None;
    }
}

/// What is known of an answer besides its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The status code.
    pub(crate) status: u16,
    /// Whether the connection can be used again.
    pub(crate) keep_alive: bool,
    length: Length,
}

impl Head {
    /// The body without the framing of chunks, from all its pieces.
    pub(crate) fn body(&self, pieces: Vec<u8>) -> Vec<u8> {
        match self.length {
            Length::Chunked => dechunked(&pieces),
            Length::Known(_) | Length::UntilClose => pieces,
        }
    }
}

/// One TCP connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, buffer: Vec::with_capacity(16 << 10) })
    }

    /// Sends a request and reads the answer, whose body goes to `body` in pieces (for chunked
    /// bodies with the framing left in).
    pub(crate) async fn exchange(
        &mut self,
        request: &[u8],
        mut body: impl FnMut(&[u8]),
    ) -> Result<Head, Failure> {
        self.buffer.clear();
        // A server may refuse early and close: its answer counts, not our broken pipe.
        let sent = self.stream.write_all(request).await;
        let (mut head, start) = loop {
            if self.read().await? == 0 {
                let early = sent.err().map_or(ErrorKind::UnexpectedEof, |error| error.kind());
                return Err(Failure::Broken(early));
            }
            match parse_head(&self.buffer)? {
                Some((head, _)) if (100..200).contains(&head.status) => {
                    return Err(Failure::Malformed("interim answer"));
                }
                Some(parsed) => break parsed,
                None if self.buffer.len() > MAX_HEAD => {
                    return Err(Failure::Malformed("head too long"));
                }
                None => {}
            }
        };
        head.keep_alive &= sent.is_ok() && head.length != Length::UntilClose;
        let mut end = BodyEnd::new(head.length);
        let mut position = start;
        while !end.reached(&self.buffer[position..])? {
            body(&self.buffer[position..]);
            self.buffer.clear();
            position = 0;
            if self.read().await? == 0 {
                let complete = head.length == Length::UntilClose;
                return if complete { Ok(head) } else { Err(broken(ErrorKind::UnexpectedEof)) };
            }
        }
        body(&self.buffer[position..]);
        Ok(head)
    }

    async fn read(&mut self) -> Result<usize, Failure> {
        // Readiness is edge-triggered: a read that does not fill the buffer needs no second one.
        self.buffer.reserve(8 << 10);
        self.stream.read_buf(&mut self.buffer).await.map_err(|error| broken(error.kind()))
    }
}

fn broken(kind: ErrorKind) -> Failure {
    Failure::Broken(kind)
}

/// Parses the head when it is all there; also says where the body starts.
fn parse_head(bytes: &[u8]) -> Result<Option<(Head, usize)>, Failure> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let version_1_1 = bytes.starts_with(b"HTTP/1.1 ");
    if !version_1_1 && !bytes.starts_with(b"HTTP/1.0 ") {
        return Err(Failure::Malformed("not HTTP/1"));
    }
    let status = number(bytes.get(9..12).unwrap_or_default());
    let status = status.ok_or(Failure::Malformed("no status"))? as u16;
    let mut head = Head { status, keep_alive: version_1_1, length: Length::UntilClose };
    for line in bytes[..end].split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = number(value).ok_or(Failure::Malformed("content-length"))?;
            head.length = Length::Known(length);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            head.length = Length::Chunked;
        } else if name.eq_ignore_ascii_case(b"connection") {
            head.keep_alive = !value.eq_ignore_ascii_case(b"close")
                && (version_1_1 || value.eq_ignore_ascii_case(b"keep-alive"));
        }
    }
    if matches!(status, 204 | 304) {
        head.length = Length::Known(0);
    }
    Ok(Some((head, end + 4)))
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// Serves each of `answers` on its own connection, in the pieces given, then closes.
    async fn serve(answers: &'static [&'static [&'static str]]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for pieces in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await.unwrap();
                for piece in *pieces {
                    stream.write_all(piece.as_bytes()).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        });
        address
    }

    async fn outcome(answer: &'static [&'static [&'static str]]) -> Result<(), Failure> {
        let address = serve(answer).await;
        HttpCaller::new(address, [Bytes::from_static(b"GET / HTTP/1.1\r\n\r\n")].into())
            .call(0)
            .await
    }

    #[tokio::test]
    async fn answers_end_where_their_framing_says() {
        let ok = Ok(());
        let length = "HTTP/1.1 200 OK\r\ncontent-LENGTH: 5\r\n\r\n";
        assert_eq!(outcome(Box::leak(Box::new([&*vec![length, "he", "llo"].leak()]))).await, ok);
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let pieces = vec![chunked, "5;x=1\r", "\nhel", "lo\r\n1\r\n!\r\n0\r\n", "a: b\r\n\r\n"];
        assert_eq!(outcome(Box::leak(Box::new([&*pieces.leak()]))).await, ok);
        assert_eq!(outcome(&[&["HTTP/1.0 200 OK\r\n\r\nuntil", " close"]]).await, ok);
        assert_eq!(outcome(&[&["HTTP/1.1 204 No Content\r\n\r\n"]]).await, ok);
    }

    #[tokio::test]
    async fn failures_are_told_apart() {
        let refused = outcome(&[&["HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n"]]).await;
        assert_eq!(refused, Err(Failure::http(503)));
        let cut = outcome(&[&["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"]]).await;
        assert!(matches!(cut, Err(Failure::Broken(_))), "{cut:?}");
        let long = outcome(&[&["HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nhello"]]).await;
        assert!(matches!(long, Err(Failure::Malformed(_))), "{long:?}");
        let other = outcome(&[&["SSH-2.0-OpenSSH\r\n\r\n"]]).await;
        assert!(matches!(other, Err(Failure::Malformed(_))), "{other:?}");
    }

    #[tokio::test]
    async fn a_dead_server_is_a_failure_and_a_new_one_is_found() {
        let address = serve(&[&["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]]).await;
        let mut caller = HttpCaller::new(address, [Bytes::from_static(b"x")].into());
        assert_eq!(caller.call(0).await, Ok(()));
        assert!(matches!(caller.call(0).await, Err(Failure::Broken(_))));
        assert!(matches!(caller.call(0).await, Err(Failure::Connect(_))));
    }
}
