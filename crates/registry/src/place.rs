//! Where a registry is: a folder, or what machines share: a PostgreSQL database, and a folder or a bucket.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{ClientOptions, ObjectStore, RetryConfig, path};

use crate::contents::faults::Hook;
use crate::contents::{Bucket, Contents};
use crate::database::{Database, Url};
use crate::seal::{EncryptionKey, Keyring};
use crate::storage::Storage;
use crate::{Registry, RegistryError};

/// The file of a folder's database.
pub(crate) const DATABASE: &str = "registry.sqlite";
/// How long a request to a store may take: a part of 8 MiB at 150 kB/s.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(60);
/// How long connecting may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// How often, and for how long, a request is tried again.
const RETRIES: usize = 4;
const RETRY_TIME_MAX: Duration = Duration::from_secs(30);

/// Where a registry is.
#[derive(Clone)]
pub struct Place {
    names: Names,
    environment: Vec<(String, String)>,
    keys: Vec<EncryptionKey>,
    hook: Option<Hook>,
    store: Option<Arc<dyn ObjectStore>>,
}

/// Where names are, and contents.
#[derive(Clone)]
enum Names {
    Folder(PathBuf),
    Shared(Url, Store),
}

/// Where files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Folder(PathBuf),
    /// A URL of a bucket.
    Bucket(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.names {
            Names::Folder(root) => root.display().fmt(f),
            Names::Shared(url, _) => url.fmt(f),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({self})")
    }
}

impl Place {
    /// A registry in a folder.
    pub fn folder(root: &Path) -> Place {
        Place::new(Names::Folder(root.to_owned()))
    }

    fn new(names: Names) -> Place {
        Place { names, environment: Vec::new(), keys: Vec::new(), hook: None, store: None }
    }

    /// A folder; or the URL of a PostgreSQL database, with a folder or the URL of a bucket for contents.
    pub fn parse(registry: &str, contents: Option<&str>) -> Result<Place, RegistryError> {
        let wrong = |text: String| Err(RegistryError::Invalid(text));
        match (registry.split_once("://"), contents) {
            (Some(("postgres" | "postgresql", _)), Some(contents)) => {
                let names = Names::Shared(Url::new(registry), Store::parse(contents)?);
                Ok(Place::new(names))
            }
            (Some(("postgres" | "postgresql", _)), None) => wrong(
                "a registry in PostgreSQL needs a place for contents, --registry-contents: a folder that all \
                 machines see, or a bucket such as s3://models/registry"
                    .into(),
            ),
            (None | Some(("file", _)), None) => match Store::parse(registry)? {
                Store::Folder(root) => Ok(Place::folder(&root)),
                Store::Bucket(_) => wrong(format!("'{registry}' is no folder")),
            },
            (None | Some(("file", _)), Some(_)) => wrong(
                "--registry-contents goes with a registry in PostgreSQL: one in a folder keeps its contents \
                 there"
                    .into(),
            ),
            (Some((scheme, _)), _) => wrong(format!(
                "wrong registry '{scheme}://…', expected a folder or the URL of a database: \
                 postgres://USER@HOST/DATABASE"
            )),
        }
    }

    /// What stores of objects take their credentials and end points from: those of `AWS_…`, `GOOGLE_…`
    /// and `AZURE_…` that they know.
    pub fn with_environment(self, variables: impl IntoIterator<Item = (String, String)>) -> Place {
        Place { environment: variables.into_iter().collect(), ..self }
    }

    /// The keys of contents: the first encrypts, all decrypt.
    pub fn with_keys(self, keys: Vec<EncryptionKey>) -> Place {
        Place { keys, ..self }
    }

    /// What a test makes go wrong.
    #[doc(hidden)]
    pub fn with_faults(self, hook: Hook) -> Place {
        Place { hook: Some(hook), ..self }
    }

    /// A store in place of what was named, for tests.
    #[doc(hidden)]
    pub fn with_store(self, store: Arc<dyn ObjectStore>) -> Place {
        Place { store: Some(store), ..self }
    }

    /// Opens it. With `make` it is made where it is not there.
    pub async fn open(&self, make: bool) -> Result<Registry, RegistryError> {
        let contents = match (&self.names, &self.store) {
            (Names::Folder(root), _) if !make && !Registry::is_at(root) => {
                return Err(RegistryError::NotFound(format!(
                    "there is no registry in '{}'",
                    root.display()
                )));
            }
            (_, Some(store)) => {
                let shown = "memory://test".to_owned();
                Contents::bucket(Bucket::new(store.clone(), path::Path::default(), shown))
            }
            (Names::Folder(root), None) => Contents::folder(root)?,
            (Names::Shared(_, store), None) => store.open(&self.environment)?,
        };
        contents.probe().await?;
        let contents = match &self.hook {
            Some(hook) => contents.with_faults(hook.clone()),
            None => contents,
        };
        let database = match &self.names {
            Names::Folder(root) => Database::sqlite(&root.join(DATABASE)).await?,
            Names::Shared(url, _) => Database::postgres(url, make).await?,
        };
        let storage = Storage { contents, keys: Keyring::new(self.keys.clone()) };
        Ok(Registry { database, storage })
    }
}

impl Store {
    /// A folder, or a URL: `file:///folder`, `s3://bucket/prefix`, `gs://…`, `az://container/prefix`.
    pub(crate) fn parse(text: &str) -> Result<Store, RegistryError> {
        match text.split_once("://") {
            None if text.is_empty() => {
                Err(RegistryError::Invalid("expected a folder or a URL, found nothing".into()))
            }
            None => Ok(Store::Folder(text.into())),
            Some(("file", path)) if path.starts_with('/') => Ok(Store::Folder(path.into())),
            Some((scheme @ ("s3" | "gs" | "az"), rest)) if rest.contains(['@', '?']) => {
                // It may hold a secret: it is not repeated.
                Err(RegistryError::Invalid(format!(
                    "wrong place '{scheme}://…', expected no '@' and no '?': credentials are taken from the \
                     environment"
                )))
            }
            Some(("s3" | "gs" | "az", rest)) if !rest.starts_with('/') && !rest.is_empty() => {
                Ok(Store::Bucket(text.trim_end_matches('/').to_owned()))
            }
            Some((scheme, _)) => Err(RegistryError::Invalid(format!(
                "wrong place '{scheme}://…', expected a folder, file:///FOLDER, s3://BUCKET/PREFIX, \
                 gs://BUCKET/PREFIX or az://CONTAINER/PREFIX"
            ))),
        }
    }

    /// Opens it; a folder is made where it is not there.
    pub(crate) fn open(&self, environment: &[(String, String)]) -> Result<Contents, RegistryError> {
        match self {
            Store::Folder(root) => Contents::folder(root),
            Store::Bucket(url) => {
                let failed = |error: object_store::Error| RegistryError::Store {
                    action: "open the store",
                    place: url.clone(),
                    source: error.into(),
                };
                let prefix = url.splitn(4, '/').nth(3).unwrap_or_default();
                let prefix = path::Path::parse(prefix).map_err(|error| failed(error.into()))?;
                let store = connect(url, environment).map_err(failed)?;
                Ok(Contents::bucket(Bucket::new(store, prefix, url.clone())))
            }
        }
    }
}

/// A client of the store that a URL names.
fn connect(
    url: &str,
    environment: &[(String, String)],
) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
    // One of the two that rustls knows must be chosen; a second choice is no other.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client =
        ClientOptions::new().with_timeout(REQUEST_TIME_MAX).with_connect_timeout(CONNECT_TIME_MAX);
    let retry = RetryConfig {
        max_retries: RETRIES,
        retry_timeout: RETRY_TIME_MAX,
        ..RetryConfig::default()
    };
    let known = |prefix: &'static str| {
        let names = environment.iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
        names.filter(move |(name, _)| name.starts_with(prefix))
    };
    macro_rules! built {
        ($builder:ty, $prefix:literal) => {{
            let mut builder =
                <$builder>::new().with_url(url).with_retry(retry).with_client_options(client);
            for (name, value) in known($prefix) {
                if let Ok(key) = name.parse() {
                    builder = builder.with_config(key, value);
                }
            }
            Arc::new(builder.build()?)
        }};
    }
    Ok(match url.split(':').next() {
        Some("gs") => built!(GoogleCloudStorageBuilder, "google_"),
        Some("az") => built!(MicrosoftAzureBuilder, "azure_"),
        _ => built!(AmazonS3Builder, "aws_"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_folders_or_urls() {
        let bucket = |text: &str| Store::parse(text).map_err(|error| error.to_string());
        assert_eq!(bucket("a/b"), Ok(Store::Folder("a/b".into())));
        assert_eq!(bucket("file:///a"), Ok(Store::Folder("/a".into())));
        assert_eq!(bucket("s3://models/a/"), Ok(Store::Bucket("s3://models/a".into())));
        for bad in ["", "ftp://x", "file://host", "s3://", "s3:///a", "http://x/y"] {
            assert!(bucket(bad).is_err(), "{bad}");
        }
        let wrong = |registry: &str, contents: Option<&str>| {
            Place::parse(registry, contents)
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default()
        };
        let url = "postgres://u:secret@h/d";
        assert!(wrong(url, None).contains("--registry-contents"));
        assert!(wrong("folder", Some("s3://x/y")).contains("goes with a registry in PostgreSQL"));
        assert!(wrong("mysql://u:secret@h", None).contains("'mysql://…'"));
        assert!(wrong("s3://u:secret@x/y", None).contains("'s3://…'"));
        let place = Place::parse(url, Some("s3://x/y")).unwrap();
        assert_eq!(place.to_string(), "postgres://u@h/d");
        for odd in ["postgres://u:secret?x@h/d", "postgres://u:secret/x@h/d?password=secret"] {
            let place = Place::parse(odd, Some("x")).unwrap();
            assert_eq!(place.to_string(), "postgres://u@h/d", "{odd}");
        }
        for bad in ["s3://KEY:SECRET@bucket", "az://box?sig=SECRET"] {
            let error = bucket(bad).unwrap_err();
            assert!(error.contains("credentials") && !error.contains("SECRET"), "{error}");
        }
        assert_eq!(format!("{place:?}"), "Place(postgres://u@h/d)");
    }
}
