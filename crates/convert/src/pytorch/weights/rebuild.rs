//! Tensors in a pickle: the calls that would rebuild them, read as what they mean.

use std::collections::BTreeMap;

use modelyard_graph::ElementType;

use super::damaged;
use crate::ConvertError;
use crate::pytorch::pickle::{Id, Node, Pickle};
use crate::pytorch::weight::{Storage, Weight};

/// How deep tensors may be wrapped in parameters and subclasses.
const DEPTH: usize = 8;

/// A storage as a pickle names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StorageName {
    /// Which one.
    pub(crate) key: String,
    /// What its elements are; `None` for untyped storages.
    pub(crate) element_type: Option<ElementType>,
    /// How many elements (bytes, if untyped) it has.
    pub(crate) len: usize,
    /// Where this one begins in that storage, in elements.
    pub(crate) start: usize,
}

/// Where the bytes of a storage are.
pub(crate) type Locate<'a> = dyn Fn(&StorageName) -> Result<Storage> + 'a;

/// The tensors of one pickle.
pub(crate) struct Tensors<'a> {
    pub(crate) pickle: &'a Pickle,
    pub(crate) locate: &'a Locate<'a>,
}

type Result<T> = std::result::Result<T, ConvertError>;

impl Tensors<'_> {
    /// The tensors among the entries of a dict, by name; `None` when it is no dict.
    pub(crate) fn named(&self, dict: Id) -> Result<Option<BTreeMap<String, Weight>>> {
        let Some(entries) = self.pickle.entries(dict) else { return Ok(None) };
        let mut tensors = BTreeMap::new();
        for &(key, value) in entries {
            let Some(name) = self.pickle.text(key) else { continue };
            if let Some(weight) = self.tensor(value, name, DEPTH)? {
                tensors.insert(name.to_owned(), weight);
            }
        }
        Ok(Some(tensors))
    }

    /// The tensor that a value is; `None` when it is something else. Errors name it as `name`.
    pub(crate) fn tensor(&self, value: Id, name: &str, depth: usize) -> Result<Option<Weight>> {
        let Some(object) = self.pickle.object(value) else { return Ok(None) };
        let wrong = |what: &str| damaged(format!("tensor '{name}'"), what);
        let arguments = self.pickle.items(object.arguments).unwrap_or(&[]);
        let inner = |at: usize| {
            let depth = depth.checked_sub(1).ok_or_else(|| wrong("it is wrapped too deep"))?;
            match arguments.get(at) {
                Some(&value) => self.tensor(value, name, depth),
                None => Err(wrong("it wraps nothing")),
            }
        };
        match self.pickle.global(object.class) {
            Some(("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")) => {
                inner(0)
            }
            Some(("torch.nn.parameter", "Parameter" | "Buffer")) => inner(0),
            Some(("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2")) => {
                self.view(arguments, name, None).map(Some)
            }
            Some(("torch._utils", "_rebuild_tensor_v3")) => {
                let element_type = arguments.get(6).and_then(|&id| self.element_type(id));
                let element_type = element_type.ok_or_else(|| wrong("its type is not known"))?;
                self.view(arguments, name, Some(element_type)).map(Some)
            }
            // A subclass of tensors: what rebuilds the plain one, a class and its arguments.
            Some(("torch._tensor", "_rebuild_from_type_v2")) => {
                self.subclass(arguments, name).map(Some)
            }
            Some(("torch._utils", "_rebuild_sparse_tensor")) => {
                Err(wrong("it is sparse; make it dense (`tensor.to_dense()`) before saving"))
            }
            Some(("torch._utils", "_rebuild_qtensor")) => Err(wrong(
                "it is quantized; save the float model, or export the quantized one to ONNX",
            )),
            Some(("torch._utils", "_rebuild_meta_tensor_no_storage")) => {
                Err(wrong("it has no data: it was saved on the meta device"))
            }
            _ => Ok(None),
        }
    }

    fn subclass(&self, arguments: &[Id], name: &str) -> Result<Weight> {
        let wrong = |what: &str| damaged(format!("tensor '{name}'"), what);
        let rebuild = arguments.first().and_then(|&id| self.pickle.global(id));
        let inner = arguments.get(2).and_then(|&id| self.pickle.items(id));
        match (rebuild, inner) {
            (Some(("torch._utils", "_rebuild_tensor_v2")), Some(inner)) => {
                self.view(inner, name, None)
            }
            _ => Err(wrong("it is of a class of its own; save plain tensors (`tensor.detach()`)")),
        }
    }

    /// Storage, offset, sizes and strides.
    fn view(
        &self,
        arguments: &[Id],
        name: &str,
        element_type: Option<ElementType>,
    ) -> Result<Weight> {
        let wrong = |what: String| damaged(format!("tensor '{name}'"), what);
        let &[storage, offset, sizes, strides, ..] = arguments else {
            return Err(wrong(format!(
                "expected a view of a storage, found {} arguments",
                arguments.len()
            )));
        };
        let numbers = |id: Id| -> Option<Vec<usize>> {
            let all = self.pickle.ints(id)?;
            all.into_iter().map(|value| usize::try_from(value).ok()).collect()
        };
        let offset = self.pickle.int(offset).and_then(|value| usize::try_from(value).ok());
        let (Some(offset), Some(sizes), Some(strides)) = (offset, numbers(sizes), numbers(strides))
        else {
            return Err(wrong("offset, sizes or strides are no numbers".into()));
        };
        let found = self.storage_name(storage).ok_or_else(|| wrong("it has no storage".into()))?;
        let element_type = element_type
            .or(found.element_type)
            .ok_or_else(|| wrong("the type of its elements has no counterpart".into()))?;
        let start = found.start.checked_add(offset);
        let start = start.ok_or_else(|| wrong("its offset overflows".into()))?;
        let width = match found.element_type {
            Some(_) => 1,
            None => element_type.bits() / 8,
        };
        if !fits(&sizes, &strides, offset, found.len / width.max(1)) {
            let len = found.len;
            return Err(wrong(format!(
                "sizes {sizes:?} with strides {strides:?} from {offset} reach beyond its storage of \
                 {len}"
            )));
        }
        let storage = (self.locate)(&found)?;
        Weight::strided(storage, element_type, &sizes, &strides, start)
    }

    /// Reads `('storage', type, key, location, len[, view])`.
    pub(crate) fn storage_name(&self, value: Id) -> Option<StorageName> {
        let Node::Persistent(id) = self.pickle.node(value) else { return None };
        let items = self.pickle.items(*id)?;
        let &[kind, class, key, _, len, ..] = items else { return None };
        if self.pickle.text(kind) != Some("storage") {
            return None;
        }
        let key = match self.pickle.node(key) {
            Node::Text(text) => text.clone(),
            Node::Int(number) => number.to_string(),
            _ => return None,
        };
        let (_, class) = self.pickle.global(class)?;
        let element_type = storage_type(class);
        if element_type.is_none() && class != "UntypedStorage" {
            return None;
        }
        let len = usize::try_from(self.pickle.int(len)?).ok()?;
        // The oldest files: a stretch of another storage as (key, start, length).
        let view = items.get(5).and_then(|&view| self.pickle.items(view));
        match view {
            Some(&[_, start, len]) => {
                let number = |id| usize::try_from(self.pickle.int(id)?).ok();
                Some(StorageName { key, element_type, len: number(len)?, start: number(start)? })
            }
            _ => Some(StorageName { key, element_type, len, start: 0 }),
        }
    }

    fn element_type(&self, value: Id) -> Option<ElementType> {
        match self.pickle.global(value)? {
            ("torch", name) => dtype(name),
            _ => None,
        }
    }
}

/// Whether a view lies within `len` elements.
fn fits(sizes: &[usize], strides: &[usize], offset: usize, len: usize) -> bool {
    if sizes.len() != strides.len() {
        return false;
    }
    if sizes.contains(&0) {
        return true;
    }
    let last = sizes.iter().zip(strides).try_fold(offset, |last, (size, stride)| {
        last.checked_add((size - 1).checked_mul(*stride)?)
    });
    last.is_some_and(|last| last < len)
}

/// What the elements of a storage of this class are.
pub(crate) fn storage_type(class: &str) -> Option<ElementType> {
    Some(match class {
        "DoubleStorage" => ElementType::Float64,
        "FloatStorage" => ElementType::Float32,
        "HalfStorage" => ElementType::Float16,
        "BFloat16Storage" => ElementType::Bfloat16,
        "LongStorage" => ElementType::Int64,
        "IntStorage" => ElementType::Int32,
        "ShortStorage" => ElementType::Int16,
        "CharStorage" => ElementType::Int8,
        "ByteStorage" => ElementType::Uint8,
        "BoolStorage" => ElementType::Bool,
        _ => return None,
    })
}

/// The type that `torch.<name>` is.
fn dtype(name: &str) -> Option<ElementType> {
    Some(match name {
        "float64" => ElementType::Float64,
        "float32" => ElementType::Float32,
        "float16" => ElementType::Float16,
        "bfloat16" => ElementType::Bfloat16,
        "int64" => ElementType::Int64,
        "int32" => ElementType::Int32,
        "int16" => ElementType::Int16,
        "int8" => ElementType::Int8,
        "uint8" => ElementType::Uint8,
        "uint16" => ElementType::Uint16,
        "uint32" => ElementType::Uint32,
        "uint64" => ElementType::Uint64,
        "bool" => ElementType::Bool,
        _ => return None,
    })
}
