//! Every path that is answered, in one table: for dispatch and for the OpenAPI document.

use http::Method;

use crate::http::Refusal;
use crate::identity::Missing;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Infer,
    Predict,
    ServerLive,
    ServerReady,
    ServerMetadata,
    Models,
    ModelMetadata,
    ModelReady,
    ModelConfig,
    ModelStatistics,
    RepositoryIndex,
    RepositoryLoad,
    RepositoryUnload,
    Metrics,
    OpenApi,
    Docs,
}

/// One path and method. The hot ones come first.
pub(super) struct Route {
    pub(super) method: Method,
    /// Segments; one in braces takes any text.
    pub(super) pattern: &'static str,
    pub(super) operation: Operation,
    pub(super) summary: &'static str,
}

const fn get(pattern: &'static str, operation: Operation, summary: &'static str) -> Route {
    Route { method: Method::GET, pattern, operation, summary }
}

const fn post(pattern: &'static str, operation: Operation, summary: &'static str) -> Route {
    Route { method: Method::POST, pattern, operation, summary }
}

/// The table.
pub(super) static ROUTES: &[Route] = &[
    post("/v2/models/{model}/infer", Operation::Infer, "Run a model"),
    post("/predict", Operation::Predict, "Run the only, or the default, model"),
    post("/predict/{model}", Operation::Predict, "Run a model, the plain way"),
    post(
        "/v2/models/{model}/versions/{version}/infer",
        Operation::Infer,
        "Run a version of a model",
    ),
    get("/v2/health/live", Operation::ServerLive, "Whether the server answers at all"),
    get("/v2/health/ready", Operation::ServerReady, "Whether requests may be sent here"),
    get("/v2/models/{model}/ready", Operation::ModelReady, "Whether a model answers requests"),
    get(
        "/v2/models/{model}/versions/{version}/ready",
        Operation::ModelReady,
        "Whether a version of a model answers requests",
    ),
    get("/v2", Operation::ServerMetadata, "Name, version and extensions of the server"),
    get("/v2/models", Operation::Models, "Names of all models"),
    get("/v2/models/stats", Operation::ModelStatistics, "What every model has done so far"),
    get("/v2/models/{model}", Operation::ModelMetadata, "What a model takes and gives"),
    get(
        "/v2/models/{model}/versions/{version}",
        Operation::ModelMetadata,
        "What a version of a model takes and gives",
    ),
    get("/v2/models/{model}/config", Operation::ModelConfig, "How a model is served"),
    get(
        "/v2/models/{model}/versions/{version}/config",
        Operation::ModelConfig,
        "How a version of a model is served",
    ),
    get("/v2/models/{model}/stats", Operation::ModelStatistics, "What a model has done so far"),
    get(
        "/v2/models/{model}/versions/{version}/stats",
        Operation::ModelStatistics,
        "What a version of a model has done so far",
    ),
    post("/v2/repository/index", Operation::RepositoryIndex, "Every version and where it stands"),
    post(
        "/v2/repository/{repository}/index",
        Operation::RepositoryIndex,
        "Every version and where it stands",
    ),
    post(
        "/v2/repository/models/{model}/load",
        Operation::RepositoryLoad,
        "Load a model, or load it again where it has changed",
    ),
    post("/v2/repository/models/{model}/unload", Operation::RepositoryUnload, "Unload a model"),
    get("/metrics", Operation::Metrics, "Prometheus metrics"),
    get("/openapi.json", Operation::OpenApi, "This document"),
    get("/docs", Operation::Docs, "This document, to read"),
];

/// What the path says, still percent-encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Captures<'p> {
    pub(super) model: Option<&'p str>,
    pub(super) version: Option<&'p str>,
}

/// Finds the route of a request.
pub(super) fn find<'p>(
    method: &Method,
    path: &'p str,
) -> Result<(Operation, Captures<'p>), Refusal> {
    let wanted = if method == Method::HEAD { &Method::GET } else { method };
    for route in ROUTES.iter().filter(|route| route.method == wanted) {
        if let Some(captures) = matches(route.pattern, path) {
            return Ok((route.operation, captures));
        }
    }
    Err(not_found(path))
}

#[cold]
fn not_found(path: &str) -> Refusal {
    const SHOWN: usize = 128;
    let other = ROUTES.iter().find(|route| matches(route.pattern, path).is_some());
    match other {
        Some(route) if route.method == Method::GET => Refusal::method("GET, HEAD"),
        Some(route) => Refusal::method(route.method.as_str()),
        None => {
            let missing = missing(path);
            let path: String = path.chars().take(SHOWN).collect();
            if let Some(missing) = missing {
                return missing.error(&path).into();
            }
            modelyard_serving::InferError::not_found(format!(
                "no such path '{path}', see /docs for those there are"
            ))
            .into()
        }
    }
}

/// What of Triton's a path would belong to that is not offered.
fn missing(path: &str) -> Option<Missing> {
    let below = path.strip_prefix("/v2/")?;
    if below.starts_with("systemsharedmemory") || below.starts_with("cudasharedmemory") {
        return Some(Missing::SharedMemory);
    }
    (below == "logging" || below.ends_with("trace/setting")).then_some(Missing::Settings)
}

/// Whether a path has this pattern; one slash more at the end is let pass.
fn matches<'p>(mut pattern: &str, path: &'p str) -> Option<Captures<'p>> {
    let mut captures = Captures::default();
    let mut rest = path;
    while let Some((text, behind)) = pattern.split_once('{') {
        rest = rest.strip_prefix(text)?;
        let (name, tail) = behind.split_once('}')?;
        let end = rest.bytes().position(|byte| byte == b'/').unwrap_or(rest.len());
        let segment;
        (segment, rest) = rest.split_at(end);
        if segment.is_empty() {
            return None;
        }
        match name {
            "model" => captures.model = Some(segment),
            "version" => captures.version = Some(segment),
            _ => {}
        }
        pattern = tail;
    }
    (rest == pattern || rest.strip_suffix('/') == Some(pattern)).then_some(captures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_finds_itself() {
        for route in ROUTES {
            let path = route.pattern.replace(['{', '}'], "");
            let (operation, captures) = find(&route.method, &path).expect(route.pattern);
            assert_eq!(operation, route.operation, "{}", route.pattern);
            let named =
                |name: &'static str| route.pattern.contains(name).then(|| &name[1..name.len() - 1]);
            assert_eq!(captures.model, named("{model}"), "{}", route.pattern);
            assert_eq!(captures.version, named("{version}"), "{}", route.pattern);
        }
    }

    #[test]
    fn other_paths_and_methods_are_refused() {
        let status = |method, path| find(&method, path).unwrap_err().into_response();
        for path in
            ["/", "", "/v2/models//infer", "/v3", "/v2/models/a/b/c", "//v2", "/predict/a/b"]
        {
            assert_eq!(status(Method::POST, path).status(), 404, "{path}");
        }
        for path in ["/v2/systemsharedmemory/region/r/register", "/v2/cudasharedmemory/status"] {
            assert_eq!(status(Method::POST, path).status(), 501, "{path}");
        }
        for path in ["/v2/logging", "/v2/trace/setting", "/v2/models/a/trace/setting"] {
            assert_eq!(status(Method::GET, path).status(), 501, "{path}");
        }
        let refused = status(Method::GET, "/v2/models/a/infer");
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["allow"]),
            (405, &"POST".parse().unwrap())
        );
        assert_eq!(status(Method::DELETE, "/v2").headers()["allow"], "GET, HEAD");
        assert!(find(&Method::HEAD, "/v2/health/live").is_ok());
        assert!(find(&Method::GET, "/v2/").is_ok());
    }
}
