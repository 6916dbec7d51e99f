//! Files inside the archive that `torch.save` wrote: sample inputs, and the weights of older
//! layouts.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{FORMAT, damaged};
use crate::archive::Archive;
use crate::input::Input;
use crate::pytorch::pickle::{Id, Node, Pickle};
use crate::pytorch::weight::{Storage, Weight};
use crate::pytorch::weights::rebuild::{StorageName, Tensors};
use crate::{ConvertError, Limits};

/// How deep lists, tuples and dictionaries of inputs may nest, and tensors be wrapped.
const DEPTH: usize = 16;

/// A file of `torch.save`: a zip file with a pickle and storages.
pub(super) struct Pickled {
    archive: Arc<Archive>,
    /// What stands before all names in it.
    root: String,
    pickle: Pickle,
}

impl Pickled {
    /// Reads the pickle, but none of the storages.
    pub(super) fn open(input: &Input, limits: &Limits) -> Result<Pickled, ConvertError> {
        let archive = Arc::new(Archive::open(input, FORMAT, limits)?);
        let names = archive.names();
        let root = names.iter().find_map(|name| name.strip_suffix("data.pkl")).map(str::to_owned);
        let place = input.path.display().to_string();
        let root = root.ok_or_else(|| damaged(&place, "it has no data.pkl"))?;
        let bytes = archive.read(&format!("{root}data.pkl"))?;
        let pickle = Pickle::read(&bytes, limits)?;
        if let Some(name) = pickle.forbidden() {
            let message = format!("its pickle wants to call {name}, which is never done");
            return Err(damaged(&place, message));
        }
        Ok(Pickled { archive, root, pickle })
    }

    fn locate(&self, storage: &StorageName) -> Result<Storage, ConvertError> {
        let name = format!("{}data/{}", self.root, storage.key);
        match self.archive.contains(&name) {
            true => Ok(Storage::Entry(Arc::clone(&self.archive), name)),
            false => Err(damaged("a pickled tensor", format!("there is no '{name}'"))),
        }
    }

    /// The tensors of a dictionary by name; none where it is something else.
    pub(super) fn named(&self) -> Result<BTreeMap<String, Weight>, ConvertError> {
        let locate = |storage: &StorageName| self.locate(storage);
        let tensors = Tensors { pickle: &self.pickle, locate: &locate };
        Ok(tensors.named(self.pickle.root())?.unwrap_or_default())
    }

    /// Everything in nested tuples, lists and dictionaries, in order: tensors, and `None` for what
    /// is none.
    pub(super) fn leaves(&self) -> Result<Vec<Option<Weight>>, ConvertError> {
        let mut leaves = Vec::new();
        self.collect(self.pickle.root(), DEPTH, &mut leaves)?;
        Ok(leaves)
    }

    fn collect(
        &self,
        id: Id,
        depth: usize,
        leaves: &mut Vec<Option<Weight>>,
    ) -> Result<(), ConvertError> {
        const MOST: usize = 1 << 16;
        let too_much = || damaged("the sample inputs", "they nest too deep or are too many");
        let depth = depth.checked_sub(1).filter(|_| leaves.len() < MOST).ok_or_else(too_much)?;
        match self.pickle.node(id) {
            Node::Tuple(items) | Node::List(items) => {
                for &item in items {
                    self.collect(item, depth, leaves)?;
                }
            }
            Node::Dict(entries) => {
                for &(_, value) in entries {
                    self.collect(value, depth, leaves)?;
                }
            }
            Node::Object(_) => {
                let locate = |storage: &StorageName| self.locate(storage);
                let tensors = Tensors { pickle: &self.pickle, locate: &locate };
                leaves.push(tensors.tensor(id, "a sample input", DEPTH)?);
            }
            _ => leaves.push(None),
        }
        Ok(())
    }
}
