//! Where things are, and how long to measure.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// What decides, in a peer's folder, what is installed.
const PEER_SOURCES: [&str; 9] = [
    "install.sh",
    "requirements.txt",
    "requirements-pytorch.txt",
    "requirements-keras_tf.txt",
    "requirements-gradient_graph.txt",
    "torch_stubs.py",
    "package-lock.json",
    "Cargo.lock",
    "src/main.rs",
];

/// Options of every suite.
#[derive(clap::Args, Clone)]
pub(crate) struct Options {
    /// Rounds in which the servers take turns
    #[arg(long, default_value = "3")]
    pub(crate) rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value = "4")]
    pub(crate) seconds: f64,
    /// Requests of the suite memory, over each protocol
    #[arg(long, default_value = "1000000", value_parser = clap::value_parser!(u64).range(10_000..))]
    pub(crate) requests: u64,
    /// The binary to measure [default: built now, from this workspace]
    #[arg(long)]
    modelyard: Option<PathBuf>,
    /// ONNX Runtime library for ours and for peers that take one
    #[arg(long, env = "ORT_DYLIB_PATH")]
    onnxruntime_lib: PathBuf,
    /// Python with the packages onnx and numpy, to make models
    #[arg(long, default_value = "python3")]
    python: String,
}

/// Everything a suite needs to know.
pub(crate) struct Env {
    /// How long and how often.
    pub(crate) options: Options,
    /// Our binary.
    pub(crate) modelyard: PathBuf,
    /// ONNX Runtime.
    pub(crate) library: PathBuf,
    /// The empty server.
    pub(crate) empty: PathBuf,
    /// The repository.
    pub(crate) root: PathBuf,
    /// Where results go.
    pub(crate) results: PathBuf,
    /// For files that nobody needs afterwards.
    pub(crate) scratch: PathBuf,
}

impl Env {
    /// Builds what is to be measured.
    pub(crate) fn prepare(options: Options) -> anyhow::Result<Self> {
        let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = bench.parent().context("bench/ has no parent")?.to_owned();
        let own = std::env::current_exe()?;
        let folder = own.parent().context("the program lies nowhere")?;
        let modelyard = match &options.modelyard {
            Some(path) => path.clone(),
            None => {
                let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
                let mut build = Command::new(cargo);
                build.current_dir(&root).args(["build", "--release", "--bins"]);
                build.args(["-p", "modelyard", "-p", "modelyard-bench"]);
                run(&mut build)?;
                folder.join("modelyard")
            }
        };
        let results = bench.join("results");
        let scratch = results.join("tmp");
        std::fs::create_dir_all(&scratch)?;
        let library = std::path::absolute(&options.onnxruntime_lib)?;
        ensure!(library.exists(), "there is no library {}", library.display());
        let empty = folder.join("empty");
        Ok(Env { modelyard, library, empty, root, results, scratch, options })
    }

    /// The model of the quickstart.
    pub(crate) fn digits_model(&self) -> PathBuf {
        self.root.join("examples/digits/digits.onnx")
    }

    /// A model of `bench/models/make.py`, made now if need be.
    pub(crate) fn model(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.root.join("bench/models");
        let path = folder.join(format!("{name}.onnx"));
        if !path.exists() {
            run(Command::new(&self.options.python).arg(folder.join("make.py")).arg(name))
                .context("make.py needs the packages onnx and numpy; see --python")?;
        }
        Ok(path)
    }

    /// The folder of a peer, installed now unless it was since its files last changed.
    pub(crate) fn peer(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.root.join("bench/peers").join(name);
        let installed = folder.join(".installed");
        let changed = |path: &str| std::fs::metadata(folder.join(path)).and_then(|m| m.modified());
        let sources = PEER_SOURCES.iter().filter_map(|path| changed(path).ok());
        if changed(".installed").ok() < sources.max() {
            eprintln!("installing {name}");
            run(&mut Command::new(folder.join("install.sh")))?;
            std::fs::write(installed, "")?;
        }
        Ok(folder)
    }
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("failed to start {command:?}"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}
