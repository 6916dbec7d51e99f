//! Weights beside the model, handed to rten as bytes.
//!
//! Left to itself rten takes only files of some extensions, and wants offset and length of every
//! tensor stated. The files were checked when the model was read; here they are read whole, and
//! the model that rten sees states all it wants.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use modelyard_graph::{
    AttributeValue, Constant, ConstantData, ElementType, ExternalData, Graph, Model, file,
};

/// Files by the names that the model refers to them by.
#[derive(Default)]
pub(super) struct Beside {
    files: BTreeMap<String, (String, Vec<u8>)>,
    /// A constant whose integers do not fit rten's, if there is one.
    pub(super) wide: Option<(String, i64)>,
}

impl Beside {
    /// Reads what is beside `model`, and makes the model state where in it everything is.
    pub(super) fn read(model: &mut Model, path: &Path) -> io::Result<Beside> {
        let mut beside = Beside::default();
        beside.graph(&mut model.graph, &file::folder_of(path))?;
        Ok(beside)
    }

    /// Names and contents of the files.
    pub(super) fn into_files(self) -> impl Iterator<Item = (String, Vec<u8>)> {
        self.files.into_values()
    }

    fn graph(&mut self, graph: &mut Graph, folder: &Path) -> io::Result<()> {
        for constant in &mut graph.initializers {
            self.constant(constant, folder)?;
        }
        for attribute in graph.nodes.iter_mut().flat_map(|node| &mut node.attributes) {
            match &mut attribute.value {
                AttributeValue::Tensor(constant) => self.constant(constant, folder)?,
                AttributeValue::Graph(inner) => self.graph(inner, folder)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn constant(&mut self, constant: &mut Constant, folder: &Path) -> io::Result<()> {
        let needed = constant.byte_len();
        let ConstantData::External(external) = &mut constant.data else { return Ok(()) };
        let cut_off = || io::Error::other(format!("'{}' is cut off", external.location));
        let (name, bytes) = self.file(external, folder)?;
        let length = external.length.or(needed.map(|needed| needed as u64)).ok_or_else(cut_off)?;
        let range = usize::try_from(external.offset).ok().zip(usize::try_from(length).ok());
        let data = range
            .and_then(|(start, length)| bytes.get(start..start.checked_add(length)?))
            .ok_or_else(cut_off)?;
        let wide = (constant.element_type == ElementType::Int64).then(|| widest(data)).flatten();
        external.location = name.clone();
        external.length = Some(length);
        if let Some(value) = wide {
            self.wide.get_or_insert((constant.name.clone(), value));
        }
        Ok(())
    }

    fn file(&mut self, external: &ExternalData, folder: &Path) -> io::Result<(String, &Vec<u8>)> {
        let next = format!("{}.data", self.files.len());
        if !self.files.contains_key(&external.location) {
            let path = file::resolve(folder, external).map_err(io::Error::other)?;
            self.files.insert(external.location.clone(), (next, std::fs::read(path)?));
        }
        let (name, bytes) = &self.files[&external.location];
        Ok((name.clone(), bytes))
    }
}

/// An integer that does not fit 32 bits.
fn widest(bytes: &[u8]) -> Option<i64> {
    let mut values = bytes.as_chunks().0.iter().map(|&value| i64::from_le_bytes(value));
    values.find(|&value| i32::try_from(value).is_err())
}
