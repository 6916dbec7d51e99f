//! The files of an exported program: a zip archive, in the layouts that torch had.
//!
//! | torch | program | weights |
//! |---|---|---|
//! | 2.9 and later | `<root>/models/model.json` | `<root>/data/weights/*`, raw bytes |
//! | 2.8 | `<root>/models/model.json` | `<root>/data/weights/model.pt`, pickled |
//! | 2.5 to 2.7 | `serialized_exported_program.json` | `serialized_state_dict.pt`, pickled |

use std::collections::BTreeMap;
use std::sync::Arc;

use modelyard_graph::ElementType;
use serde::de::DeserializeOwned;

use super::pickled::Pickled;
use super::schema::{Payload, PayloadConfig, STRIDED, SymInt, TensorMeta};
use super::{FORMAT, damaged};
use crate::archive::Archive;
use crate::input::Source;
use crate::pytorch::weight::{Storage, Weight};
use crate::{ConvertError, Limits};

/// An exported program's zip file.
#[derive(Debug)]
pub(super) struct Files {
    archive: Arc<Archive>,
    /// What stands before all names in it: a folder with `/` at its end, or nothing.
    root: String,
    layout: Layout,
    limits: Limits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// torch 2.8 and later.
    Package,
    /// Before.
    Flat,
}

/// The program's text, in either layout.
const PROGRAMS: [(&str, Layout); 2] =
    [("models/model.json", Layout::Package), ("serialized_exported_program.json", Layout::Flat)];

impl Files {
    /// Reads the directory of the archive.
    pub(super) fn open(source: &Source, limits: &Limits) -> Result<Files, ConvertError> {
        let archive = Archive::open(source.file()?, FORMAT, limits)?;
        let names = archive.names();
        let found = PROGRAMS.iter().find_map(|&(end, layout)| {
            let name = names.iter().find(|name| name.ends_with(end))?;
            Some((name.strip_suffix(end)?.to_owned(), layout))
        });
        let (root, layout) =
            found.ok_or_else(|| damaged("the archive", "it has no models/model.json"))?;
        let files = Files { archive: Arc::new(archive), root, layout, limits: limits.clone() };
        files.check_byte_order()?;
        Ok(files)
    }

    fn check_byte_order(&self) -> Result<(), ConvertError> {
        let name = self.name("byteorder");
        if !self.archive.contains(&name) {
            return Ok(());
        }
        let order = self.archive.read_text(&name)?;
        match order.trim() {
            "little" => Ok(()),
            other => {
                let message = format!(
                    "expected little-endian weights, found '{other}'; save the model on a \
                     little-endian machine"
                );
                Err(damaged("entry 'byteorder'", message))
            }
        }
    }

    fn name(&self, end: &str) -> String {
        format!("{}{end}", self.root)
    }

    /// The text of the program.
    pub(super) fn program(&self) -> Result<String, ConvertError> {
        let end = PROGRAMS.iter().find(|(_, layout)| *layout == self.layout).map(|(end, _)| end);
        self.archive.read_text(&self.name(end.expect("each layout is in the table")))
    }

    /// All parameters, buffers and constants by name.
    pub(super) fn weights(&self) -> Result<BTreeMap<String, Weight>, ConvertError> {
        let mut weights = self.pickled_weights()?;
        for (folder, config) in [
            ("data/weights/", "data/weights/model_weights_config.json"),
            ("data/constants/", "data/constants/model_constants_config.json"),
        ] {
            let name = self.name(config);
            if self.archive.contains(&name) {
                let config: PayloadConfig = parse(&self.archive.read_text(&name)?, &name)?;
                for (weight_name, payload) in &config.config {
                    let weight = self.weight(folder, weight_name, payload)?;
                    weights.extend(weight.map(|weight| (weight_name.clone(), weight)));
                }
            }
        }
        Ok(weights)
    }

    /// The weights of layouts that pickled them.
    fn pickled_weights(&self) -> Result<BTreeMap<String, Weight>, ConvertError> {
        let ends: &[&str] = match self.layout {
            Layout::Package => &["data/weights/model.pt", "data/constants/model.pt"],
            Layout::Flat => &["serialized_state_dict.pt", "serialized_constants.pt"],
        };
        let mut weights = BTreeMap::new();
        for end in ends {
            let name = self.name(end);
            if self.archive.contains(&name) {
                let pickled = Pickled::open(&self.archive.input(&name)?, &self.limits)?;
                weights.append(&mut pickled.named()?);
            }
        }
        for (name, weight) in &weights {
            check_size(weight, &format!("weight '{name}'"), &self.limits)?;
        }
        Ok(weights)
    }

    /// The inputs that the program was exported with, flattened: tensors, and `None` for others.
    /// Nothing where there are none or they cannot be read: they are only for trying.
    pub(super) fn samples(&self) -> Vec<Option<Weight>> {
        let end = match self.layout {
            Layout::Package => "data/sample_inputs/model.pt",
            Layout::Flat => "serialized_example_inputs.pt",
        };
        let name = self.name(end);
        if !self.archive.contains(&name) {
            return Vec::new();
        }
        let input = self.archive.input(&name);
        let leaves = input.and_then(|input| Pickled::open(&input, &self.limits)?.leaves());
        leaves.unwrap_or_default()
    }

    /// `None` for what is no tensor: custom objects.
    fn weight(
        &self,
        folder: &str,
        name: &str,
        payload: &Payload,
    ) -> Result<Option<Weight>, ConvertError> {
        let Some(meta) = &payload.tensor_meta else { return Ok(None) };
        let place = format!("weight '{name}'");
        if payload.use_pickle {
            let message = "it is a tensor subclass that is stored as a pickle, such as a quantized \
                           tensor; export the model with plain tensors";
            return Err(damaged(&place, message));
        }
        let file = self.name(&format!("{folder}{}", payload.path_name));
        if !self.archive.contains(&file) {
            return Err(damaged(&place, format!("the archive has no '{file}'")));
        }
        let storage = Storage::Entry(Arc::clone(&self.archive), file);
        view(storage, meta, &place, &self.limits).map(Some)
    }
}

/// The tensor that `meta` describes as a view of a storage.
fn view(
    storage: Storage,
    meta: &TensorMeta,
    place: &str,
    limits: &Limits,
) -> Result<Weight, ConvertError> {
    if meta.layout != STRIDED {
        let message = "it is sparse; make it dense (`tensor.to_dense()`) before the export";
        return Err(damaged(place, message));
    }
    let element_type = element_type(meta.dtype).ok_or_else(|| {
        damaged(place, format!("elements of PyTorch's type {} have no counterpart", meta.dtype))
    })?;
    let sizes = known(&meta.sizes).ok_or_else(|| damaged(place, "its sizes are not known"))?;
    let strides = known(&meta.strides).ok_or_else(|| damaged(place, "its strides are unknown"))?;
    let offset = meta.storage_offset.as_ref().map_or(Some(0), known_one);
    let offset = offset.ok_or_else(|| damaged(place, "its offset is not known"))?;
    let weight = Weight::strided(storage, element_type, &sizes, &strides, offset)?;
    check_size(&weight, place, limits)?;
    Ok(weight)
}

fn check_size(weight: &Weight, place: &str, limits: &Limits) -> Result<(), ConvertError> {
    let (found, limit) = (weight.byte_len(), limits.tensor_bytes);
    if found > limit {
        return Err(ConvertError::TooLarge { place: place.into(), what: "bytes", found, limit });
    }
    Ok(())
}

fn known(sizes: &[SymInt]) -> Option<Vec<usize>> {
    sizes.iter().map(known_one).collect()
}

fn known_one(size: &SymInt) -> Option<usize> {
    match size {
        SymInt::Int(value) => usize::try_from(*value).ok(),
        SymInt::Expression { .. } => None,
    }
}

/// The element type with this number in `torch/_export/serde/schema.py`; `None` for complex numbers
/// and unknown ones.
pub(super) fn element_type(code: i64) -> Option<ElementType> {
    Some(match code {
        1 => ElementType::Uint8,
        2 => ElementType::Int8,
        3 => ElementType::Int16,
        4 => ElementType::Int32,
        5 => ElementType::Int64,
        6 => ElementType::Float16,
        7 => ElementType::Float32,
        8 => ElementType::Float64,
        12 => ElementType::Bool,
        13 => ElementType::Bfloat16,
        28 => ElementType::Uint16,
        29 => ElementType::Float8E4M3FN,
        30 => ElementType::Float8E5M2,
        31 => ElementType::Float8E4M3FNUZ,
        32 => ElementType::Float8E5M2FNUZ,
        33 => ElementType::Float8E8M0,
        34 => ElementType::Uint32,
        35 => ElementType::Uint64,
        _ => return None,
    })
}

/// JSON of a known form; the error says where it is damaged.
pub(super) fn parse<T: DeserializeOwned>(text: &str, place: &str) -> Result<T, ConvertError> {
    serde_json::from_str(text).map_err(|error| damaged(&format!("entry '{place}'"), error))
}
