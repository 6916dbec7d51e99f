//! Which format a file or folder has: by content, never by its name alone.

mod protobuf;
#[cfg(test)]
mod tests;

use crate::input::{Input, Source};
use crate::{ConvertError, Limits, Options, SourceModel};

/// A format that models come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// Keras 3's `.keras` archive.
    KerasArchive,
    /// A whole Keras model in HDF5.
    KerasHdf5,
    /// TensorFlow's SavedModel folder.
    SavedModel,
    /// A frozen TensorFlow graph.
    GraphDef,
    /// TensorFlow Lite.
    TfLite,
    /// What `torch.export.save` writes: `.pt2`.
    ExportedProgram,
    /// What `torch.jit.save` writes.
    TorchScript,
    /// What `torch.save` writes of a state dict.
    StateDict,
    /// Weights in safetensors.
    SafeTensors,
    /// MXNet's symbol and parameters.
    MxNet,
    /// ONNX itself.
    Onnx,
    /// Trees of XGBoost, in JSON or UBJSON.
    XgBoost,
    /// Trees of LightGBM, as text.
    LightGbm,
}

/// Reads a model of one format.
pub(crate) type Reader =
    fn(&Source, &Options, &Limits) -> Result<Box<dyn SourceModel>, ConvertError>;

impl Format {
    /// Every format.
    pub const ALL: [Format; 13] = [
        Format::KerasArchive,
        Format::KerasHdf5,
        Format::SavedModel,
        Format::GraphDef,
        Format::TfLite,
        Format::ExportedProgram,
        Format::TorchScript,
        Format::StateDict,
        Format::SafeTensors,
        Format::MxNet,
        Format::Onnx,
        Format::XgBoost,
        Format::LightGbm,
    ];

    /// What to call it.
    pub const fn name(self) -> &'static str {
        match self {
            Format::KerasArchive => "Keras archive",
            Format::KerasHdf5 => "Keras HDF5 file",
            Format::SavedModel => "TensorFlow SavedModel",
            Format::GraphDef => "TensorFlow frozen graph",
            Format::TfLite => "TensorFlow Lite model",
            Format::ExportedProgram => "PyTorch exported program",
            Format::TorchScript => "TorchScript archive",
            Format::StateDict => "PyTorch state dict",
            Format::SafeTensors => "safetensors file",
            Format::MxNet => "MXNet symbol",
            Format::Onnx => "ONNX model",
            Format::XgBoost => "XGBoost model",
            Format::LightGbm => "LightGBM model",
        }
    }

    /// The reader of this format.
    pub(crate) fn reader(self) -> Reader {
        match self {
            Format::SavedModel => crate::tensorflow::read_saved_model,
            Format::GraphDef => crate::tensorflow::read_frozen,
            Format::KerasArchive | Format::KerasHdf5 => crate::keras::read,
            Format::Onnx => crate::onnx::read,
            Format::TfLite => crate::tflite::read,
            Format::MxNet => crate::mxnet::read,
            Format::StateDict | Format::SafeTensors => crate::pytorch::weights::read,
            Format::ExportedProgram => crate::pytorch::read,
            Format::XgBoost => crate::trees::read_xgboost,
            Format::LightGbm => crate::trees::read_lightgbm,
            Format::TorchScript => crate::pytorch::script::read,
        }
    }

    /// What lists the operators or layers that are converted.
    pub(crate) fn vocabulary(self) -> fn() -> Vec<String> {
        match self {
            Format::SavedModel | Format::GraphDef => crate::tensorflow::vocabulary,
            Format::KerasArchive | Format::KerasHdf5 => crate::keras::vocabulary,
            Format::Onnx => crate::onnx::vocabulary,
            Format::TfLite => crate::tflite::vocabulary,
            Format::MxNet => crate::mxnet::vocabulary,
            Format::StateDict | Format::SafeTensors => crate::pytorch::weights::vocabulary,
            Format::ExportedProgram | Format::TorchScript => crate::pytorch::vocabulary,
            Format::XgBoost => crate::trees::xgboost_vocabulary,
            Format::LightGbm => crate::trees::lightgbm_vocabulary,
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How many bytes from the start are looked at.
const HEAD: usize = 64 << 10;

/// Says which format `source` has.
pub(crate) fn recognize(source: &Source) -> Result<Format, ConvertError> {
    let Some(input) = &source.file else { return folder(source) };
    let head = input.head(HEAD)?;
    if head.is_empty() {
        return Err(unrecognized(source, "an empty file; was the download cut off?"));
    }
    if head.starts_with(b"\x89HDF\r\n\x1a\n") {
        return Ok(Format::KerasHdf5);
    }
    if head.get(4..8) == Some(b"TFL3") {
        return Ok(Format::TfLite);
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        return zip(source, input);
    }
    if let Some(found) = text(source, &head)? {
        return Ok(found);
    }
    if is_safetensors(&head, input.len) {
        return Ok(Format::SafeTensors);
    }
    if head.starts_with(&0x112u64.to_le_bytes()) {
        return Ok(Format::MxNet);
    }
    if let Some(found) = foreign_pickle(&head) {
        return Err(unrecognized(source, found));
    }
    if is_pickle_stream(&head) || is_tar(&head) {
        return Ok(Format::StateDict);
    }
    // UBJSON: an object whose first key has a length.
    if head.starts_with(b"{L") || head.starts_with(b"{i") || head.starts_with(b"{l") {
        return Ok(Format::XgBoost);
    }
    match protobuf::recognize(&head) {
        Some(protobuf::Kind::Onnx) => Ok(Format::Onnx),
        Some(protobuf::Kind::GraphDef) => Ok(Format::GraphDef),
        Some(protobuf::Kind::SavedModel) => Ok(Format::SavedModel),
        None => Err(unrecognized(source, found_instead(&head))),
    }
}

fn folder(source: &Source) -> Result<Format, ConvertError> {
    let names = source.neighbours()?;
    let has = |name: &str| names.iter().any(|other| other == name);
    if has("saved_model.pb") || has("saved_model.pbtxt") {
        return Ok(Format::SavedModel);
    }
    if has("model.safetensors") || has("model.safetensors.index.json") {
        return Ok(Format::SafeTensors);
    }
    if has("pytorch_model.bin") || has("pytorch_model.bin.index.json") {
        return Ok(Format::StateDict);
    }
    Err(unrecognized(source, "a folder without saved_model.pb or model.safetensors in it"))
}

/// Which zip it is, by the entries in it.
fn zip(source: &Source, input: &Input) -> Result<Format, ConvertError> {
    let archive = crate::archive::Archive::open(input, "zip archive", &Limits::default())?;
    let names = archive.names();
    let ends = |end: &str| names.iter().any(|name| name.ends_with(end));
    if archive.contains("config.json") && ends("model.weights.h5") {
        return Ok(Format::KerasArchive);
    }
    if ends("models/model.json") || ends("serialized_exported_program.json") {
        return Ok(Format::ExportedProgram);
    }
    if ends("/constants.pkl") {
        return Ok(Format::TorchScript);
    }
    if ends("/data.pkl") {
        return Ok(Format::StateDict);
    }
    let shown: Vec<&str> = names.iter().take(3).copied().collect();
    let found = format!("a zip archive of something else, with {} in it", shown.join(", "));
    Err(unrecognized(source, found))
}

/// What a file of text is; `None` when it is no text.
fn text(source: &Source, head: &[u8]) -> Result<Option<Format>, ConvertError> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The head may end inside a character.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return Ok(None),
    };
    if text.contains('\0') {
        return Ok(None);
    }
    let trimmed = text.trim_start_matches('\u{feff}').trim_start();
    if trimmed.starts_with("version https://git-lfs.github.com/spec") {
        let found = "a Git LFS pointer instead of the file; run `git lfs pull` where it came from";
        return Err(unrecognized(source, found));
    }
    let lower: String = trimmed.chars().take(20).collect::<String>().to_lowercase();
    if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
        let found = "an HTML page, perhaps an error page saved as the model; download it again";
        return Err(unrecognized(source, found));
    }
    if trimmed.starts_with("tree\n") || trimmed.starts_with("tree\r\n") {
        return Ok(Some(Format::LightGbm));
    }
    if trimmed.starts_with('{') {
        if text.contains("\"learner\"") {
            return Ok(Some(Format::XgBoost));
        }
        if text.contains("\"weight_map\"") {
            let torch = text.contains(".bin\"");
            return Ok(Some(if torch { Format::StateDict } else { Format::SafeTensors }));
        }
        if text.contains("\"nodes\"") && text.contains("\"op\"") {
            return Ok(Some(Format::MxNet));
        }
        let found = "JSON that describes no model; a Keras `model.to_json()` has no weights, \
                     save the whole model instead";
        return Err(unrecognized(source, found));
    }
    Ok(None)
}

/// Eight bytes of length, then JSON of that length.
fn is_safetensors(head: &[u8], file_bytes: u64) -> bool {
    let Some((length, rest)) = head.split_first_chunk() else { return false };
    let length = u64::from_le_bytes(*length);
    length.checked_add(8).is_some_and(|end| end <= file_bytes)
        && rest.first() == Some(&b'{')
        && rest.iter().take(length.min(64) as usize).all(|byte| !byte.is_ascii_control())
}

/// The magic number of torch's legacy format, as a pickled integer.
fn is_pickle_stream(head: &[u8]) -> bool {
    const MAGIC: &[u8] = &[0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8];
    head.starts_with(MAGIC) || (head.starts_with(&[0x80]) && matches!(head.get(1), Some(2..=5)))
}

/// What to do instead, for a pickle of another library than torch.
fn foreign_pickle(head: &[u8]) -> Option<&'static str> {
    let names = |name: &[u8]| head.windows(name.len()).any(|window| window == name);
    match head {
        [0x80, 2..=5, ..] if names(b"xgboost") => Some(
            "a pickled XGBoost model, which is a program to run; save the model itself: \
             `model.save_model('model.json')`",
        ),
        [0x80, 2..=5, ..] if names(b"lightgbm") => Some(
            "a pickled LightGBM model, which is a program to run; save the model itself: \
             `model.booster_.save_model('model.txt')`",
        ),
        [0x80, 2..=5, ..] if names(b"sklearn") || names(b"joblib") => Some(
            "a pickled scikit-learn model, which is a program to run, for one version of \
             scikit-learn; write ONNX with skl2onnx where it was trained",
        ),
        _ => None,
    }
}

fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

fn found_instead(head: &[u8]) -> String {
    let kinds: [(&[u8], &str); 8] = [
        (b"\x1f\x8b", "a gzip file; unpack it first"),
        (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
        (b"BZh", "a bzip2 file; unpack it first"),
        (b"\xfd7zXZ", "an xz file; unpack it first"),
        (b"\x28\xb5\x2f\xfd", "a zstd file; unpack it first"),
        (b"\x89PNG", "a PNG image"),
        (b"GGUF", "a GGUF file, which holds a language model for llama.cpp"),
        (b"\x93NUMPY", "a NumPy array"),
    ];
    match kinds.iter().find(|(magic, _)| head.starts_with(magic)) {
        Some((_, what)) => (*what).to_owned(),
        None => {
            let shown: Vec<String> =
                head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("bytes of no format that it knows ({} ...)", shown.join(" "))
        }
    }
}

pub(crate) fn unrecognized(source: &Source, found: impl Into<String>) -> ConvertError {
    ConvertError::Unrecognized {
        path: source.path.clone(),
        expected: "a model of Keras (.keras, .h5), TensorFlow (SavedModel, frozen graph, .tflite), \
                   PyTorch (.pt2, TorchScript, .pth, .safetensors), MXNet, ONNX, XGBoost or LightGBM"
            .into(),
        found: found.into(),
    }
}
