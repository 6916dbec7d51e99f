//! The thread that sends, and where it sends to.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use super::encode::{Finished, body};
use super::layer::SpanLayer;
use crate::config::OtlpConfig;

/// Spans that may wait; one more is dropped.
const QUEUE: usize = 4096;
/// Spans in one export.
const BATCH: usize = 512;
/// How long a span waits for others.
const GATHER: Duration = Duration::from_millis(500);

/// A collector: `http://HOST[:PORT][/PATH]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    authority: String,
    address: String,
    path: String,
}

impl Endpoint {
    /// Reads an address; plain HTTP only. The port is 4318 unless given.
    pub(crate) fn parse(text: &str) -> Option<Endpoint> {
        let rest = text.strip_prefix("http://")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        if authority.is_empty() || !authority.chars().all(plain) {
            return None;
        }
        let path = path.trim_end_matches('/');
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        let address = if has_port { authority.into() } else { format!("{authority}:4318") };
        let path = match path {
            "" => "/v1/traces".into(),
            path if path.ends_with("v1/traces") => format!("/{path}"),
            path => format!("/{path}/v1/traces"),
        };
        Some(Endpoint { authority: authority.to_owned(), address, path })
    }

    /// One export. The answer's body is of no interest.
    fn post(&self, body: &[u8], timeout: Duration) -> io::Result<()> {
        let address = self.address.to_socket_addrs()?.next();
        let address = address.ok_or_else(|| io::Error::other("the host has no address"))?;
        let mut stream = TcpStream::connect_timeout(&address, timeout)?;
        stream.set_write_timeout(Some(timeout))?;
        stream.set_read_timeout(Some(timeout))?;
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.path,
            self.authority,
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        match answer.strip_prefix(b"HTTP/1.") {
            Some([_, b' ', b'2', ..]) => Ok(()),
            _ => Err(io::Error::other(format!(
                "it answered '{}'",
                String::from_utf8_lossy(&answer).trim()
            ))),
        }
    }
}

enum Message {
    Span(Box<Finished>),
    Flush(SyncSender<()>),
}

/// The way to the exporter. Never blocks.
#[derive(Clone)]
pub(super) struct Sender {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl Sender {
    pub(super) fn send(&self, span: Finished) {
        if self.queue.try_send(Message::Span(Box::new(span))).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A running exporter. Dropping it sends what is left.
pub(crate) struct Exporter {
    queue: SyncSender<Message>,
    timeout: Duration,
}

impl Exporter {
    /// Starts the thread; gives the layer that feeds it.
    pub(crate) fn start(config: &OtlpConfig) -> io::Result<(Exporter, SpanLayer)> {
        let (queue, spans) = mpsc::sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let sender = Sender { queue: queue.clone(), dropped: dropped.clone() };
        let worker = Worker { config: config.clone(), spans, dropped, batch: Vec::new() };
        std::thread::Builder::new().name("otlp".into()).spawn(move || worker.run())?;
        let exporter = Exporter { queue, timeout: config.timeout };
        Ok((exporter, SpanLayer::new(config.sample_ratio, sender)))
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let (done, sent) = mpsc::sync_channel(1);
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            let _ = sent.recv_timeout(self.timeout);
        }
    }
}

struct Worker {
    config: OtlpConfig,
    spans: Receiver<Message>,
    dropped: Arc<AtomicU64>,
    batch: Vec<Finished>,
}

impl Worker {
    fn run(mut self) {
        let mut deadline = None;
        loop {
            let wait = deadline.map_or(Duration::MAX, |deadline: Instant| {
                deadline.saturating_duration_since(Instant::now())
            });
            match self.spans.recv_timeout(wait) {
                Ok(Message::Span(span)) => {
                    self.batch.push(*span);
                    deadline.get_or_insert_with(|| Instant::now() + GATHER);
                    if self.batch.len() < BATCH {
                        continue;
                    }
                }
                Ok(Message::Flush(done)) => {
                    self.export();
                    let _ = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.export();
            deadline = None;
        }
    }

    fn export(&mut self) {
        let lost = self.dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "spans were dropped: the collector is slower than the requests");
        }
        if self.batch.is_empty() {
            return;
        }
        let body = body(&self.config.service_name, &self.batch);
        let spans = self.batch.len();
        self.batch.clear();
        if let Err(error) = self.config.endpoint.post(&body, self.config.timeout) {
            let address = &self.config.endpoint.address;
            tracing::warn!(spans, "failed to send spans to the collector at {address}: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn endpoints() {
        let parts = |text| {
            let endpoint = Endpoint::parse(text)?;
            Some((endpoint.address, endpoint.path))
        };
        let good = [
            ("http://localhost", "localhost:4318", "/v1/traces"),
            ("http://collector:80/", "collector:80", "/v1/traces"),
            ("http://[::1]:9/otlp", "[::1]:9", "/otlp/v1/traces"),
            ("http://c/v1/traces", "c:4318", "/v1/traces"),
        ];
        for (text, address, path) in good {
            assert_eq!(parts(text), Some((address.to_owned(), path.to_owned())), "{text}");
        }
        for bad in ["https://c", "c:4318", "http://", "http:///x", "http://a b", "http://c/\r\nx"] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }

    /// Takes one export and answers it; gives head and body.
    fn collect(listener: &TcpListener) -> (String, serde_json::Value) {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(&stream);
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().unwrap();
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        (head, serde_json::from_slice(&body).unwrap())
    }

    #[test]
    fn spans_arrive_under_the_callers_trace() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let config = OtlpConfig {
            endpoint: Endpoint::parse(&endpoint).unwrap(),
            service_name: "test".into(),
            sample_ratio: 0.0,
            timeout: Duration::from_secs(60),
        };
        let (exporter, layer) = Exporter::start(&config).unwrap();
        let subscriber = tracing_subscriber::registry().with(layer);
        let caller =
            |flags| format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
        tracing::subscriber::with_default(subscriber, || {
            let request = tracing::info_span!(
                target: super::super::TARGET, "infer", traceparent = caller("01"), model = "m",
                status = 200, error = tracing::field::Empty
            );
            request.in_scope(|| tracing::info_span!("inner").in_scope(|| ()));
            request.record("error", "too late");
            // Neither the caller nor the ratio want these.
            let _ = tracing::info_span!("unsampled", traceparent = caller("00"));
            let _ = tracing::info_span!("own");
        });
        let collector = std::thread::spawn(move || collect(&listener));
        drop(exporter);
        let (head, body) = collector.join().unwrap();
        assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
        let spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone();
        let [inner, request] = spans.as_slice() else { panic!("{spans:?}") };
        assert_eq!(request["name"], "infer");
        assert_eq!(request["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(request["parentSpanId"], "00f067aa0ba902b7");
        assert_eq!(request["status"]["message"], "too late");
        assert_eq!(inner["traceId"], request["traceId"]);
        assert_eq!(inner["parentSpanId"], request["spanId"]);
    }
}
