//! Models written to disk: whole or not at all, of any size, without a copy of the weights.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::resolve;
use crate::Model;
use crate::stream::{Layout, Outside, Piece, Stream, lay_out};

/// Protobuf readers take no message above this.
const MOST_PROTOBUF: u64 = i32::MAX as u64;

/// Where initializers are written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum External {
    /// Beside the model where it would pass the 2 GiB that protobuf can hold; else inside it.
    #[default]
    WhenNeeded,
    /// Inside the model, whatever its size: above 2 GiB that fails.
    Never,
    /// Beside the model, those of at least this many bytes.
    From(u64),
}

/// Initializers below this many bytes stay inside a model that has to have external data: shapes
/// and axes are wanted by whoever looks at the graph.
const SMALLEST_EXTERNAL: u64 = 1024;

/// How [`write()`] writes.
#[derive(Clone, Copy, Default)]
pub struct WriteOptions<'a> {
    /// Where initializers go.
    pub external: External,
    /// The folder of the external data that the model has now. Its bytes are copied into what is
    /// written. Without a folder they stay where they are, and the model refers to them.
    pub folder: Option<&'a Path>,
    /// Hears of bytes written and of all that will be.
    pub progress: Option<&'a dyn Fn(u64, u64)>,
    /// Whether the files are only for this process: they are not brought to disk.
    pub scratch: bool,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the model file.
    pub model_bytes: u64,
    /// The file beside it with its weights, and the bytes in that.
    pub data: Option<(PathBuf, u64)>,
}

/// Why a model was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file system said no.
    #[error("failed to {action} '{path}'", path = .path.display())]
    Io {
        /// What was attempted, such as `write`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What came back.
        source: io::Error,
    },
    /// The path has no file name, or none that a model can refer to.
    #[error("expected the name of a file in UTF-8, found '{path}'", path = .0.display())]
    Name(PathBuf),
    /// The model does not fit into protobuf.
    #[error(
        "the model takes {0} bytes, and protobuf holds at most {MOST_PROTOBUF}; \
         write its weights to a file beside it"
    )]
    TooLarge(u64),
    /// External data of the model is not where it should be.
    #[error("failed to read external data: {0}")]
    External(String),
}

/// Writes a model to `path`, and its weights to `<name>.data` beside it where `options` say so.
///
/// Each file is written under a temporary name in the same folder, brought to disk, and renamed;
/// the model comes last, so that it never refers to data that is not there. The model file has the
/// bytes that [`Model::encode`] gives, but is never in memory: weights go to the file from where
/// they are.
pub fn write(
    model: &Model,
    path: &Path,
    options: &WriteOptions<'_>,
) -> Result<Written, WriteError> {
    let name = path.file_name().and_then(|name| name.to_str());
    let location = match name {
        Some(name) => format!("{name}.data"),
        None => return Err(WriteError::Name(path.to_path_buf())),
    };
    let mut layout = Layout { files: files(model, options.folder)?, outside: None };
    if let External::From(threshold) = options.external {
        layout.outside = Some(Outside::new(location.clone(), threshold));
    }
    let mut stream = lay_out(model, &mut layout);
    if stream.len() > MOST_PROTOBUF && options.external == External::WhenNeeded {
        layout.outside = Some(Outside::new(location.clone(), SMALLEST_EXTERNAL));
        stream = lay_out(model, &mut layout);
    }
    if stream.len() > MOST_PROTOBUF {
        return Err(WriteError::TooLarge(stream.len()));
    }
    let outside = layout.outside.filter(|outside| !outside.tensors.is_empty());
    let total = stream.len() + outside.as_ref().map_or(0, |outside| outside.end);
    let mut progress = Progress { total, done: 0, hears: options.progress };
    let data = match &outside {
        Some(outside) => {
            let path = path.with_file_name(&location);
            whole(&path, options.scratch, |file| write_data(outside, file, &mut progress))?;
            Some((path, outside.end))
        }
        None => None,
    };
    whole(path, options.scratch, |file| write_stream(&stream, file, &mut progress))?;
    Ok(Written { model_bytes: stream.len(), data })
}

/// The files of a model's external data, by their location.
fn files(model: &Model, folder: Option<&Path>) -> Result<HashMap<String, PathBuf>, WriteError> {
    let mut files = HashMap::new();
    let Some(folder) = folder else { return Ok(files) };
    for external in model.constants().filter_map(|constant| constant.external()) {
        if !files.contains_key(&external.location) {
            let path = resolve(folder, external).map_err(WriteError::External)?;
            files.insert(external.location.clone(), path);
        }
    }
    Ok(files)
}

/// Counts what was written.
struct Progress<'a> {
    total: u64,
    done: u64,
    hears: Option<&'a dyn Fn(u64, u64)>,
}

impl Progress<'_> {
    fn add(&mut self, bytes: u64) {
        self.done += bytes;
        if let Some(hears) = self.hears
            && bytes > 0
        {
            hears(self.done, self.total);
        }
    }
}

/// Writes a file that is there whole or not at all.
fn whole(
    path: &Path,
    scratch: bool,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), WriteError> {
    let mut temporary = path.file_name().unwrap_or_default().to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(temporary);
    let written = File::create(&temporary).and_then(|file| {
        let mut file = BufWriter::with_capacity(1 << 16, file);
        write(&mut file)?;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        if !scratch {
            file.sync_all()?;
        }
        std::fs::rename(&temporary, path)
    });
    if written.is_err() {
        // Best effort: the error that matters is the first one.
        let _ = std::fs::remove_file(&temporary);
    }
    written.map_err(|source| WriteError::Io { action: "write", path: path.to_path_buf(), source })
}

fn write_stream(
    stream: &Stream<'_>,
    file: &mut BufWriter<File>,
    progress: &mut Progress<'_>,
) -> io::Result<()> {
    for piece in stream.pieces() {
        match piece {
            Piece::Made(bytes) => {
                file.write_all(bytes)?;
                progress.add(bytes.len() as u64);
            }
            Piece::Payload(payload) => payload.write(file, &mut |bytes| progress.add(bytes))?,
        }
    }
    Ok(())
}

fn write_data(
    outside: &Outside<'_>,
    file: &mut BufWriter<File>,
    progress: &mut Progress<'_>,
) -> io::Result<()> {
    let mut position = 0u64;
    for (offset, payload) in &outside.tensors {
        pad(offset - position, file)?;
        progress.add(offset - position);
        position = *offset;
        payload.write_raw(file, &mut |bytes| {
            position += bytes;
            progress.add(bytes);
        })?;
    }
    Ok(())
}

/// Zeros up to the next tensor.
fn pad(bytes: u64, file: &mut impl Write) -> io::Result<()> {
    io::copy(&mut io::Read::take(io::repeat(0), bytes), file)?;
    Ok(())
}
