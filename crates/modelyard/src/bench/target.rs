//! Where requests go: parsing the target, and asking the server what the model takes.

use std::net::{SocketAddr, ToSocketAddrs};

use anyhow::{Context, anyhow, bail, ensure};
use bytes::Bytes;
use http::Uri;
use modelyard_server::grpc::proto::{
    ModelMetadataRequest, ModelMetadataResponse, RepositoryIndexRequest, RepositoryIndexResponse,
};
use modelyard_tensor::{Dim, TensorSpec};
use prost::Message;
use serde::Deserialize;

use super::caller::Failure;
use super::grpc::{self, Channel};
use super::http::Connection;

/// Longest metadata that is read.
const METADATA_BYTES_MAX: usize = 16 << 20;

/// A server's address.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// Where to connect.
    pub(crate) address: SocketAddr,
    /// What to say as `Host`.
    pub(crate) host: String,
    /// What stands before every path, without a slash at the end.
    pub(crate) prefix: String,
}

impl Server {
    /// Parses what follows `http://` or `grpc://`, and resolves the name.
    pub(crate) fn parse(authority_and_path: &str, default_port: u16) -> anyhow::Result<Self> {
        let (authority, path) = match authority_and_path.split_once('/') {
            Some((authority, path)) => (authority, path.trim_end_matches('/')),
            None => (authority_and_path, ""),
        };
        ensure!(!authority.is_empty(), "the target has no host");
        let has_port =
            authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let host = match has_port {
            true => authority.to_owned(),
            false => format!("{authority}:{default_port}"),
        };
        let address = host
            .to_socket_addrs()
            .with_context(|| format!("failed to resolve '{host}'"))?
            .next()
            .with_context(|| format!("'{host}' has no address"))?;
        let prefix = if path.is_empty() { String::new() } else { format!("/{path}") };
        Ok(Server { address, host, prefix })
    }
}

/// What a server says about one of its models.
pub(crate) struct Described {
    /// The model's name.
    pub(crate) model: String,
    /// What it takes.
    pub(crate) inputs: Vec<TensorSpec>,
}

#[derive(Deserialize)]
struct Metadata {
    inputs: Vec<MetadataInput>,
}

#[derive(Deserialize)]
struct MetadataInput {
    name: String,
    datatype: String,
    shape: Vec<i64>,
}

#[derive(Deserialize)]
struct Index {
    name: String,
}

/// Asks over v2 REST.
pub(crate) async fn describe_rest(
    server: &Server,
    model: Option<&str>,
    version: &str,
) -> anyhow::Result<Described> {
    let model = match model {
        Some(model) => model.to_owned(),
        None => {
            let path = format!("{}/v2/repository/index", server.prefix);
            let index = ask(server, "POST", &path).await.context(NO_MODEL)?;
            let models: Vec<Index> = serde_json::from_slice(&index).context(NO_MODEL)?;
            the_only(models.into_iter().map(|model| model.name).collect())?
        }
    };
    let version = if version.is_empty() { String::new() } else { format!("/versions/{version}") };
    let path = format!("{}/v2/models/{model}{version}", server.prefix);
    let metadata = ask(server, "GET", &path).await?;
    let metadata: Metadata = serde_json::from_slice(&metadata)
        .with_context(|| format!("the metadata of model '{model}' is not what v2 says"))?;
    let specs =
        metadata.inputs.into_iter().map(|input| spec(input.name, &input.datatype, &input.shape));
    Ok(Described { model, inputs: specs.collect::<anyhow::Result<_>>()? })
}

const NO_MODEL: &str = "failed to list the server's models; say which one with --model";

fn the_only(mut models: Vec<String>) -> anyhow::Result<String> {
    models.dedup();
    match models.pop() {
        Some(model) if models.is_empty() => Ok(model),
        Some(model) => {
            models.push(model);
            bail!(
                "the server has several models, say which one with --model: {}",
                models.join(", ")
            )
        }
        None => bail!("the server has no models"),
    }
}

fn spec(name: String, data_type: &str, shape: &[i64]) -> anyhow::Result<TensorSpec> {
    let data_type = data_type.parse().with_context(|| format!("input '{name}'"))?;
    let dim = |size: &i64| usize::try_from(*size).map_or(Dim::Free, Dim::Fixed);
    Ok(TensorSpec { name, data_type, dims: Some(shape.iter().map(dim).collect()) })
}

async fn ask(server: &Server, method: &str, path: &str) -> anyhow::Result<Vec<u8>> {
    let host = &server.host;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let connection = Connection::open(server.address).await;
    let mut connection = connection.with_context(|| format!("failed to connect to {host}"))?;
    let mut body = Vec::new();
    let head = connection
        .exchange(request.as_bytes(), |piece| {
            if body.len() < METADATA_BYTES_MAX {
                body.extend_from_slice(piece);
            }
        })
        .await
        .map_err(|failure| anyhow!("{method} {path} at {host}: {failure}"))?;
    let text = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
    ensure!(head.status == 200, "{method} {path} at {host} answered HTTP {}: {text}", head.status);
    Ok(head.body(body))
}

/// Asks over v2 gRPC. Must run inside a `LocalSet`.
pub(crate) async fn describe_grpc(
    server: &Server,
    model: Option<&str>,
    version: &str,
) -> anyhow::Result<Described> {
    let channel = Channel::new(server.address);
    let model = match model {
        Some(model) => model.to_owned(),
        None => {
            let request = RepositoryIndexRequest { ready: true, ..Default::default() };
            let request = grpc::framed(&request);
            let index: RepositoryIndexResponse =
                call(&channel, server, "RepositoryIndex", request).await.context(NO_MODEL)?;
            the_only(index.models.into_iter().map(|model| model.name).collect())?
        }
    };
    let request = ModelMetadataRequest { name: model.clone(), version: version.into() };
    let metadata: ModelMetadataResponse =
        call(&channel, server, "ModelMetadata", grpc::framed(&request)).await?;
    let specs =
        metadata.inputs.into_iter().map(|input| spec(input.name, &input.datatype, &input.shape));
    Ok(Described { model, inputs: specs.collect::<anyhow::Result<_>>()? })
}

/// The address of a method of the inference service.
pub(crate) fn grpc_method(server: &Server, method: &str) -> anyhow::Result<Uri> {
    Ok(format!("http://{}/inference.GRPCInferenceService/{method}", server.host).parse()?)
}

async fn call<T: Message + Default>(
    channel: &Channel,
    server: &Server,
    method: &str,
    request: Bytes,
) -> anyhow::Result<T> {
    let mut body = Vec::new();
    let collect = |piece: &[u8]| {
        if body.len() < METADATA_BYTES_MAX {
            body.extend_from_slice(piece);
        }
    };
    let answer = channel.unary(&grpc_method(server, method)?, request, collect).await;
    answer.map_err(|failure: Failure| anyhow!("{method} at {}: {failure}", server.host))?;
    let message = body.get(5..).with_context(|| format!("{method} answered nothing"))?;
    T::decode(message).with_context(|| format!("failed to decode the answer to {method}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed_with_defaults() {
        let server = Server::parse("127.0.0.1", 8000).unwrap();
        assert_eq!((server.host.as_str(), server.prefix.as_str()), ("127.0.0.1:8000", ""));
        let server = Server::parse("127.0.0.1:9/a/b/", 8000).unwrap();
        assert_eq!((server.address.port(), server.prefix.as_str()), (9, "/a/b"));
        assert!(Server::parse("", 8000).is_err());
    }

    #[test]
    fn a_model_is_chosen_only_when_there_is_no_choice() {
        assert_eq!(the_only(vec!["a".into(), "a".into()]).unwrap(), "a");
        assert!(the_only(vec!["a".into(), "b".into()]).unwrap_err().to_string().contains("a, b"));
        assert!(the_only(vec![]).is_err());
    }
}
