//! Kinds of places that registries are in.
//!
//! | kind | where |
//! |---|---|
//! | `folder` | SQLite, a folder |
//! | `encrypted` | SQLite, a folder, contents encrypted |
//! | `bucket` | SQLite, a store of objects in memory |
//! | `postgres` | PostgreSQL, a folder |
//! | `shared` | PostgreSQL, a bucket of S3, contents encrypted |
//!
//! The last two need servers, and show nothing where there are none. `MODELYARD_TEST_POSTGRES` is the URL
//! of a PostgreSQL database (each test has a schema of its own), `MODELYARD_TEST_S3` that of a bucket, such
//! as `s3://bucket`, on a server that `AWS_ENDPOINT`, `AWS_ALLOW_HTTP` and so on lead to.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
#![allow(dead_code, reason = "no test uses all of it")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use modelyard_registry::{EncryptionKey, Place, Registry};
use object_store::aws::AmazonS3Builder;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt as _, path};

/// A registry in a place of its own, and a folder for files to publish.
pub(crate) struct Bed {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) place: Place,
    pub(crate) registry: Registry,
    /// The key that contents are encrypted by, if they are.
    pub(crate) key: Option<EncryptionKey>,
    contents: Contents,
}

/// Contents as they lie.
enum Contents {
    Folder(PathBuf),
    Store(Arc<dyn ObjectStore>, path::Path),
}

/// Runs tests, functions that take a bed, on every kind of place.
macro_rules! on_every_bed {
    ($($test:ident),* $(,)?) => {
        $crate::beds::on_every_bed! { @ folder encrypted bucket postgres shared; ($($test)*) }
    };
    (@ $($kind:ident)*; $tests:tt) => {
        $($crate::beds::on_every_bed! { @@ $kind $tests })*
    };
    (@@ $kind:ident ($($test:ident)*)) => {
        mod $kind {
            $(
                #[tokio::test]
                async fn $test() {
                    if let Some(bed) = crate::beds::Bed::$kind().await {
                        crate::$test(bed).await;
                    }
                }
            )*
        }
    };
}
pub(crate) use on_every_bed;

impl Bed {
    async fn new(
        folder: tempfile::TempDir,
        place: Place,
        (contents, key): (Contents, Option<EncryptionKey>),
    ) -> Option<Bed> {
        let place = place.with_keys(key.iter().cloned().collect());
        let registry = place.open(true).await.unwrap();
        Some(Bed { folder, place, registry, key, contents })
    }

    pub(crate) async fn folder() -> Option<Bed> {
        let folder = tempfile::TempDir::new().unwrap();
        let root = folder.path().join("registry");
        Bed::new(folder, Place::folder(&root), (Contents::Folder(root), None)).await
    }

    pub(crate) async fn encrypted() -> Option<Bed> {
        let folder = tempfile::TempDir::new().unwrap();
        let root = folder.path().join("registry");
        let key = EncryptionKey::generate().unwrap();
        Bed::new(folder, Place::folder(&root), (Contents::Folder(root), Some(key))).await
    }

    pub(crate) async fn bucket() -> Option<Bed> {
        let folder = tempfile::TempDir::new().unwrap();
        let root = folder.path().join("registry");
        std::fs::create_dir(&root).unwrap();
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let place = Place::folder(&root).with_store(store.clone());
        Bed::new(folder, place, (Contents::Store(store, path::Path::default()), None)).await
    }

    pub(crate) async fn postgres() -> Option<Bed> {
        let folder = tempfile::TempDir::new().unwrap();
        let root = folder.path().join("contents");
        let place = Place::parse(&schema().await?, root.to_str()).unwrap();
        Bed::new(folder, place, (Contents::Folder(root), None)).await
    }

    pub(crate) async fn shared() -> Option<Bed> {
        let (url, bucket) = (schema().await?, std::env::var("MODELYARD_TEST_S3").ok()?);
        let folder = tempfile::TempDir::new().unwrap();
        let prefix = format!("test-{:016x}/registry", fastrand::u64(..));
        let place = Place::parse(&url, Some(&format!("{bucket}/{prefix}"))).unwrap();
        let place = place.with_environment(std::env::vars());
        let _ = rustls::crypto::ring::default_provider().install_default();
        let store = AmazonS3Builder::from_env().with_url(bucket).build().unwrap();
        let contents = Contents::Store(Arc::new(store), prefix.into());
        let key = EncryptionKey::generate().unwrap();
        Bed::new(folder, place, (contents, Some(key))).await
    }

    /// A file to publish.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Whether contents lie in a folder.
    pub(crate) fn is_folder(&self) -> bool {
        matches!(self.contents, Contents::Folder(_))
    }

    pub(crate) fn is_on_postgres(&self) -> bool {
        self.place.to_string().starts_with("postgres")
    }

    /// The names of all contents.
    pub(crate) async fn blobs(&self) -> Vec<String> {
        fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => walk(root, &path, found),
                    false => found.push(path.strip_prefix(root).unwrap().display().to_string()),
                }
            }
        }
        match &self.contents {
            Contents::Folder(root) => {
                let mut found = Vec::new();
                walk(root, &root.join("blobs"), &mut found);
                found
            }
            Contents::Store(store, prefix) => {
                let below = object(prefix, "blobs");
                let found: Vec<_> = store.list(Some(&below)).try_collect().await.unwrap();
                let name = |object: object_store::ObjectMeta| {
                    let parts = object.location.prefix_match(prefix).unwrap();
                    let parts: Vec<_> = parts.map(|part| part.as_ref().to_owned()).collect();
                    parts.join("/")
                };
                found.into_iter().map(name).collect()
            }
        }
    }

    /// Writes a content as it lies, past the registry.
    pub(crate) async fn write(&self, name: &str, bytes: &[u8]) {
        match &self.contents {
            Contents::Folder(root) => {
                let path = root.join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
            Contents::Store(store, prefix) => {
                drop(store.put(&object(prefix, name), bytes.to_vec().into()).await.unwrap());
            }
        }
    }

    /// Reads a content as it lies.
    pub(crate) async fn read(&self, name: &str) -> Vec<u8> {
        match &self.contents {
            Contents::Folder(root) => std::fs::read(root.join(name)).unwrap(),
            Contents::Store(store, prefix) => {
                let read = store.get(&object(prefix, name)).await.unwrap();
                read.bytes().await.unwrap().to_vec()
            }
        }
    }

    /// Removes a content, past the registry.
    pub(crate) async fn remove(&self, name: &str) {
        match &self.contents {
            Contents::Folder(root) => std::fs::remove_file(root.join(name)).unwrap(),
            Contents::Store(store, prefix) => store.delete(&object(prefix, name)).await.unwrap(),
        }
    }
}

fn object(prefix: &path::Path, name: &str) -> path::Path {
    prefix.parts().chain(path::Path::from(name).parts()).collect()
}

/// A schema of PostgreSQL for one test.
async fn schema() -> Option<String> {
    use sqlx::Connection as _;
    let server = std::env::var("MODELYARD_TEST_POSTGRES").ok()?;
    let name = format!("test_{:016x}", fastrand::u64(..));
    sqlx::any::install_default_drivers();
    let mut connection = sqlx::AnyConnection::connect(&server).await.unwrap();
    let statement = sqlx::AssertSqlSafe(format!("CREATE SCHEMA {name}"));
    sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    Some(format!("{server}?options=-c%20search_path%3D{name}"))
}
