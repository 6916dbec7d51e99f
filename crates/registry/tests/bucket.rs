//! Stores of objects that cannot be trusted, or fail.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use modelyard_registry::{Place, RegistryError};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// What is wrong with a store.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    /// It overwrites what should be there once only.
    IgnoresConditions,
    /// It refuses conditions.
    KnowsNoConditions,
    /// Nothing may be written.
    ReadOnly,
}

/// A store with something wrong.
#[derive(Debug)]
struct Store(InMemory, Wrong);

impl std::fmt::Display for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

#[async_trait]
impl ObjectStore for Store {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        match self.1 {
            Wrong::IgnoresConditions => {
                let options = PutOptions { mode: PutMode::Overwrite, ..options };
                self.0.put_opts(location, payload, options).await
            }
            Wrong::KnowsNoConditions => Err(Error::NotImplemented {
                operation: "put".into(),
                implementer: "this store".into(),
            }),
            Wrong::ReadOnly => Err(Error::PermissionDenied {
                path: location.to_string(),
                source: "only reading is allowed".into(),
            }),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

async fn opened(wrong: Wrong) -> std::result::Result<(), RegistryError> {
    let folder = tempfile::TempDir::new().unwrap();
    let store = Arc::new(Store(InMemory::new(), wrong));
    Place::folder(folder.path()).with_store(store).open(true).await.map(drop)
}

#[tokio::test]
async fn a_store_that_ignores_conditions_is_refused_by_name() {
    for (wrong, text) in [
        (Wrong::IgnoresConditions, "the store 'memory://test' ignores conditions"),
        (Wrong::KnowsNoConditions, "the store 'memory://test' knows no conditions"),
    ] {
        let error = opened(wrong).await.unwrap_err().to_string();
        assert!(error.contains(text) && error.contains("`If-None-Match: *`"), "{error}");
    }
}

#[tokio::test]
async fn who_may_only_read_opens_it_all_the_same() {
    opened(Wrong::ReadOnly).await.unwrap();
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_is_said_in_bounded_time_without_secrets() {
    // Nobody listens on port 1.
    let place = Place::parse("postgres://u:secret@127.0.0.1:1/d", Some("s3://bucket/x")).unwrap();
    let variables = [
        ("AWS_ENDPOINT", "http://127.0.0.1:1"),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "hidden"),
        ("PATH", "/bin"),
    ];
    let place = place.with_environment(variables.map(|(name, value)| (name.into(), value.into())));
    let error = place.open(true).await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(error.to_string().starts_with("failed to write 's3://bucket/x/probe/"), "{error}");
    let RegistryError::Store { source, .. } = &error else { panic!("{error:?}") };
    assert!(source.to_string().ends_with("Connection refused (os error 111)"), "{source}");
    assert!(!text.contains("hidden") && !text.contains("secret"), "{text}");

    let folder = tempfile::TempDir::new().unwrap();
    let place = Place::parse("postgres://u:secret@127.0.0.1:1/d", folder.path().to_str()).unwrap();
    let error = place.open(true).await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(text.contains("refused") && !text.contains("secret"), "{text}");
}
