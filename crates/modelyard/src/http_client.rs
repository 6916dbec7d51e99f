//! A lean HTTP/1.1 client: one connection, one request at a time, everything bounded.
//!
//! Plain `http://` only. It is for `predict --url` and `quickstart`, not for load.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::uri::Scheme;
use http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// A connection to one server.
pub(crate) struct HttpClient {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
    /// Path that stands before every route, without a slash at its end.
    prefix: String,
    timeout: Duration,
}

/// An answer, whole.
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// The header fields.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Bytes,
}

impl HttpClient {
    /// Connects to `http://HOST[:PORT][/PREFIX]`. `timeout` bounds connecting and each request.
    pub(crate) async fn connect(url: &str, timeout: Duration) -> anyhow::Result<HttpClient> {
        let (authority, prefix) = split(url)?;
        let stream = limited(timeout, TcpStream::connect(&authority))
            .await
            .with_context(|| format!("failed to connect to {authority}"))?;
        stream.set_nodelay(true).ok();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends when the sender is dropped or the server hangs up; the request sees the error.
        tokio::spawn(connection);
        Ok(HttpClient { sender, authority, prefix, timeout })
    }

    /// Asks for `path`.
    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, HeaderMap::new(), Bytes::new()).await
    }

    /// Sends `body` to `path`.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, headers, body).await
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let what = format!("{method} http://{}{}{path}", self.authority, self.prefix);
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() =
            format!("{}{path}", self.prefix).parse().with_context(|| format!("bad {what}"))?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(header::HOST, self.authority.parse()?);
        let exchange = async {
            self.sender.ready().await?;
            let answer = self.sender.send_request(request).await.map_err(with_hint)?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
            anyhow::Ok(Answer { status: head.status, headers: head.headers, body })
        };
        limited(self.timeout, exchange).await.with_context(|| format!("failed to {what}"))
    }
}

impl Answer {
    /// The answer if it is a success; else the server's own words.
    pub(crate) fn successful(self) -> anyhow::Result<Answer> {
        if self.status.is_success() {
            return Ok(self);
        }
        let text = String::from_utf8_lossy(&self.body);
        let json: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        let said = json.as_ref().and_then(|json| json.get("error")).and_then(|e| e.as_str());
        let said: String = said.unwrap_or(text.trim()).chars().take(1000).collect();
        bail!("the server answered {}: {said}", self.status)
    }
}

async fn limited<T, E: Into<anyhow::Error>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> anyhow::Result<T> {
    match timeout(limit, work).await {
        Ok(result) => result.map_err(Into::into),
        Err(_) => bail!("no answer within {limit:?}"),
    }
}

/// Tells what an answer that is no HTTP/1.1 most often means.
fn with_hint(error: hyper::Error) -> anyhow::Error {
    let is_other_protocol = error.is_parse() || error.is_incomplete_message();
    let error = anyhow::Error::from(error);
    match is_other_protocol {
        true => error.context(
            "the answer is no HTTP/1.1; is this the gRPC port? REST is on port 8000 unless told \
             otherwise",
        ),
        false => error,
    }
}

/// Authority with its port, and the path without a slash at its end.
fn split(url: &str) -> anyhow::Result<(String, String)> {
    let full = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let uri: Uri = full.parse().with_context(|| format!("'{url}' is not a URL"))?;
    if uri.scheme() != Some(&Scheme::HTTP) {
        bail!(
            "'{url}' does not begin with http://, the only scheme that is spoken: REST is on port \
             8000 unless told otherwise"
        );
    }
    let host = uri.host().with_context(|| format!("'{url}' names no host"))?;
    let authority = format!("{host}:{}", uri.port_u16().unwrap_or(80));
    Ok((authority, uri.path().trim_end_matches('/').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_split_into_authority_and_prefix() {
        let check = |url, authority: &str, prefix: &str| {
            assert_eq!(split(url).unwrap(), (authority.to_owned(), prefix.to_owned()));
        };
        check("http://localhost:8000", "localhost:8000", "");
        check("localhost:8000", "localhost:8000", "");
        check("http://[::1]:8000/", "[::1]:8000", "");
        check("http://models.example/a/b/", "models.example:80", "/a/b");
        assert!(split("https://x").unwrap_err().to_string().contains("http://"));
        assert!(split("http://").is_err());
    }
}
