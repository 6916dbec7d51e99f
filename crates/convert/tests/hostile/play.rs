//! Cases: a damaged seed each, and what must hold of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use fastrand::Rng;
use modelyard_convert::verify::{Trial, inputs};
use modelyard_convert::{Conversion, Limits, Options, convert, open};
use modelyard_tensor::{Dim, Tensor};

use crate::ALLOCATOR;
use crate::mutate::damaged;
use crate::seeds::{Seed, fixtures};

/// How long a case may keep processors busy, in seconds: without optimization. The clock on the
/// wall depends on what else the machine does.
const PATIENCE: f64 = 30.0;

/// What may be allocated at once, in bytes: several times what [`limits`] allows of each kind.
const MEMORY: usize = 512 << 20;

/// The memory that is counted is that of the whole process.
static ALONE: Mutex<()> = Mutex::new(());

fn limits() -> Limits {
    Limits {
        file_bytes: 16 << 20,
        description_bytes: 4 << 20,
        entry_bytes: 16 << 20,
        entries: 1 << 10,
        tensor_bytes: 16 << 20,
        nodes: 1 << 14,
        depth: 32,
        evaluation_bytes: 32 << 20,
    }
}

/// Plays with every file of every seed.
pub(crate) fn play(format: &str, seeds: &[Seed], architecture: Option<&str>) {
    let alone = ALONE.lock();
    assert!(!seeds.is_empty(), "no fixtures of {format}");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile").join(format);
    let architecture = architecture.map(|name| fixtures().join(name).to_str().unwrap().to_owned());
    let options = Options { architecture, ..Options::default() };
    let mut failures = Vec::new();
    for (number, seed) in seeds.iter().enumerate() {
        for index in 0..seed.files.len() {
            for case in 0..cases() {
                let random = (number as u64) << 40 | (index as u64) << 32 | case;
                let at = format!("{} case {index}.{case}", seed.name);
                let opened = written(seed, index, &folder, &mut Rng::with_seed(random));
                failures.extend(
                    tried(opened, &options, random).err().map(|why| format!("{at}: {why}")),
                );
            }
        }
    }
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
    drop(alone);
}

/// For each file.
fn cases() -> u64 {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse::<u64>().ok());
    asked.unwrap_or(256).div_ceil(32)
}

/// Writes the files of a seed, one of them damaged; what to open.
fn written(seed: &Seed, index: usize, folder: &Path, rng: &mut Rng) -> PathBuf {
    let _ = std::fs::remove_dir_all(folder);
    for (number, (name, bytes)) in seed.files.iter().enumerate() {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let content = if number == index { &damaged(bytes, rng) } else { bytes };
        std::fs::write(path, content).unwrap();
    }
    folder.join(&seed.opened)
}

/// Opens, converts and evaluates: what went wrong, which an error of these is not.
fn tried(path: PathBuf, options: &Options, random: u64) -> Result<(), String> {
    let options = options.clone();
    ALLOCATOR.reset_peak_usage();
    let (before, start) = (ALLOCATOR.current_usage(), busy());
    let (sender, receiver) = channel();
    let worker = std::thread::spawn(move || {
        used(&path, &options, random);
        sender.send(())
    });
    while receiver.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
        if busy() - start > PATIENCE {
            return Err(format!("no end after {PATIENCE} s"));
        }
    }
    if let Err(panic) = worker.join() {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.into()));
        return Err(format!("a panic: {}", text.unwrap_or_default()));
    }
    let used = ALLOCATOR.peak_usage().saturating_sub(before);
    if used > MEMORY { Err(format!("{used} bytes of memory")) } else { Ok(()) }
}

fn used(path: &Path, options: &Options, random: u64) {
    let Ok(source) = open(path, options, &limits()) else { return };
    let mut tries: Vec<Vec<Tensor>> = source.samples().into_iter().take(1).collect();
    let Ok(conversion) = convert(source.as_ref(), options) else { return };
    if is_small(&conversion) {
        let trial = Trial { batch: 2, sizes: BTreeMap::new(), seed: random, edges: true };
        tries.extend(inputs(&conversion, &trial).ok());
    }
    for tensors in &tries {
        // An answer or an error: either will do.
        let _ = source.evaluate(tensors);
    }
}

/// Seconds that this process has kept processors busy: user and system time are the 14th and 15th
/// fields of what Linux says of it, in hundredths; the second field may have spaces in it.
fn busy() -> f64 {
    let said = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = said.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.map(|text| text.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

/// Whether inputs of the size that the damaged file asks for are quickly drawn.
fn is_small(conversion: &Conversion) -> bool {
    let Ok(signature) = conversion.model.signature() else { return false };
    signature.inputs.iter().all(|spec| {
        let sizes = spec.dims.iter().flatten().map(|dim| match dim {
            Dim::Fixed(size) => *size,
            // No free dimension is tried with more.
            Dim::Symbol(_) | Dim::Free => 64,
        });
        sizes.fold(1usize, usize::saturating_mul) <= 1 << 18
    })
}
