//! Files of versions on this machine, and what was served last.
//!
//! `versions/<digest of the manifest>/` has a version's files and `<digest>.json` its manifest, as it
//! was signed; `state/<what is followed>/<model>.json` says which of them served last. All of it can be fetched
//! again, so that nothing here needs care, and nothing here is believed: digests are checked.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow, bail};
use modelyard_registry::keys::Signature;
use modelyard_registry::{Digest, Manifest, ModelName, Registry, State, Version};
use serde::{Deserialize, Serialize};

use super::Desired;
use crate::files::write_atomically;

/// How long files stay that nothing here uses: other servers may share the folder.
const KEEP: Duration = Duration::from_secs(3600);
const SCHEMA: u32 = 1;

/// A folder of versions.
pub(crate) struct Cache {
    versions: PathBuf,
    state: PathBuf,
    /// Those whose files were checked since the start.
    checked: BTreeSet<Digest>,
}

/// What was served last of a model, as a file.
#[derive(Serialize, Deserialize)]
struct Kept {
    schema: u32,
    model: ModelName,
    default: Option<u64>,
    versions: Vec<KeptVersion>,
}

#[derive(Serialize, Deserialize)]
struct KeptVersion {
    manifest: Digest,
    signatures: Vec<Signature>,
}

impl Cache {
    /// The folder, made if it is not there. `followed` says which registry and which models: what was
    /// served last is kept by it.
    pub(crate) fn open(folder: &Path, followed: &str) -> anyhow::Result<Cache> {
        let state = folder.join("state").join(Digest::of(followed.as_bytes()).to_string());
        let versions = folder.join("versions");
        for path in [&versions, &state] {
            std::fs::create_dir_all(path)
                .with_context(|| format!("failed to make folder '{}'", path.display()))?;
        }
        Ok(Cache { versions, state, checked: BTreeSet::new() })
    }

    /// The folder with a version's files. Fetched where it is not there, or is not what it was; all
    /// files are checked against the manifest once a process.
    pub(crate) async fn files(
        &mut self,
        registry: Option<&Registry>,
        version: &Version,
    ) -> anyhow::Result<PathBuf> {
        let folder = self.versions.join(version.digest.to_string());
        if self.checked.contains(&version.digest) && folder.is_dir() {
            return Ok(folder);
        }
        // First, so that no folder is without one: `tidy` goes by manifests.
        let manifest = self.versions.join(format!("{}.json", version.digest));
        write_atomically(&manifest, &version.bytes)?;
        let kept = folder.is_dir().then(|| version.manifest.check_folder(&folder));
        match (kept, registry) {
            (Some(Ok(())), _) => {}
            (Some(Err(damage)), None) => return Err(damage.into()),
            (None, None) => bail!("the registry is out of reach, and its files are not kept here"),
            (kept, Some(registry)) => {
                if let Some(Err(damage)) = kept {
                    tracing::warn!("files are fetched anew: {damage}");
                    remove(&folder)?;
                }
                registry.fetch(version, &folder).await?;
            }
        }
        self.checked.insert(version.digest);
        Ok(folder)
    }

    /// Keeps what is served now of a model for a start without the registry.
    pub(crate) fn remember(&self, served: &Desired) -> anyhow::Result<()> {
        let kept = |version: &Arc<Version>| KeptVersion {
            manifest: version.digest,
            signatures: version.signatures.clone(),
        };
        let kept = Kept {
            schema: SCHEMA,
            model: served.model.clone(),
            default: served.default,
            versions: served.versions.iter().flatten().map(kept).collect(),
        };
        let path = self.state.join(format!("{}.json", served.model));
        write_atomically(&path, &serde_json::to_vec_pretty(&kept)?)
    }

    /// What was served last; nothing where nothing was.
    pub(crate) fn recall(&self) -> anyhow::Result<Vec<Desired>> {
        let desired = |kept: Kept| {
            let versions: anyhow::Result<Vec<Arc<Version>>> =
                kept.versions.into_iter().map(|version| self.version(version)).collect();
            let versions = versions.map_err(|error| format!("{error:#}"));
            let (rolling, warnings) = (None, Vec::new());
            Desired { model: kept.model, versions, default: kept.default, rolling, warnings }
        };
        Ok(self.kept()?.into_iter().map(desired).collect())
    }

    fn kept(&self) -> anyhow::Result<Vec<Kept>> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&self.state)?.flatten() {
            let path = entry.path();
            // What was being written when a process died ends otherwise.
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read_kept(&path) {
                Ok(kept) => all.push(kept),
                Err(error) => tracing::warn!("'{}' is passed over: {error:#}", path.display()),
            }
        }
        Ok(all)
    }

    fn version(&self, kept: KeptVersion) -> anyhow::Result<Arc<Version>> {
        let path = self.versions.join(format!("{}.json", kept.manifest));
        let bytes = std::fs::read(&path);
        let bytes = bytes.with_context(|| format!("failed to read '{}'", path.display()))?;
        let digest = Digest::of(&bytes);
        if digest != kept.manifest {
            bail!("manifest '{}' was tampered with or damaged", path.display());
        }
        let (manifest, state) = (Manifest::decode(&bytes)?, State::Active);
        Ok(Arc::new(Version { manifest, digest, signatures: kept.signatures, state, bytes }))
    }

    /// Marks what is used as used, and removes what nobody has used for a while.
    pub(crate) fn tidy(&mut self, mut used: BTreeSet<Digest>) -> anyhow::Result<()> {
        // What would be served without the registry stays, even while something else is wanted.
        let kept = self.kept()?;
        used.extend(kept.iter().flat_map(|kept| &kept.versions).map(|version| version.manifest));
        for digest in &used {
            let manifest = self.versions.join(format!("{digest}.json"));
            let now = std::fs::FileTimes::new().set_modified(SystemTime::now());
            // Not there yet, or a file system without times: then it is only fetched again.
            let _ = std::fs::File::open(manifest).and_then(|file| file.set_times(now));
        }
        for entry in std::fs::read_dir(&self.versions)?.flatten() {
            let path = entry.path();
            let age = entry.metadata().ok().and_then(|metadata| metadata.modified().ok());
            let is_old = age.is_some_and(|at| at.elapsed().is_ok_and(|age| age > KEEP));
            let name = entry.file_name().to_string_lossy().into_owned();
            let digest = name.strip_suffix(".json").and_then(|name| name.parse().ok());
            match digest.filter(|digest| !used.contains(digest)) {
                Some(digest) if is_old => {
                    self.checked.remove(&digest);
                    remove(&self.versions.join(digest.to_string()))?;
                    std::fs::remove_file(&path)?;
                }
                // Of a process that died while it fetched.
                None if is_old && name.starts_with('.') => remove(&path)?,
                _ => {}
            }
        }
        Ok(())
    }
}

fn read_kept(path: &Path) -> anyhow::Result<Kept> {
    let kept: Kept = serde_json::from_slice(&std::fs::read(path)?)?;
    match kept.schema > SCHEMA {
        true => bail!("it is of schema {}, this modelyard knows {SCHEMA}", kept.schema),
        false => Ok(kept),
    }
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(anyhow!(error).context(format!("failed to remove '{}'", folder.display())))
        }
        _ => Ok(()),
    }
}
