//! From pickles to objects: the tree of modules with its attributes, and constants of the code.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::damaged;
use super::library::Library;
use super::value::{Callee, Object, Seen, Tensor, Value};
use crate::ConvertError;
use crate::pytorch::evaluate::Strided;
use crate::pytorch::pickle::{Id, Node, Pickle};
use crate::pytorch::weight::Weight;
use crate::pytorch::weights::rebuild::Tensors;

/// How deep modules and lists may nest as they are read.
const DEPTH: usize = 100;

/// How deep they may nest in all: what was read before may stand in what is read later.
const HEIGHT: usize = 400;

/// Tensors with so few elements are read at once: code may look at them.
const FEW: usize = 64;

/// Tensors by name, with what they are.
pub(super) type Weights = BTreeMap<String, Weight>;

/// Reads one pickle of an archive.
pub(super) struct Reader<'l> {
    library: &'l Library,
    /// `data` or `constants`.
    name: &'static str,
    pickle: Pickle,
    /// What was made, and how deep it nests.
    made: HashMap<Id, (Value, usize)>,
    /// How deep the value nests that was made last.
    height: usize,
    /// In how many worlds the code is evaluated.
    worlds: usize,
    weights: &'l mut Weights,
}

type Result<T> = std::result::Result<T, ConvertError>;

impl<'l> Reader<'l> {
    pub(super) fn new(
        library: &'l Library,
        name: &'static str,
        worlds: usize,
        weights: &'l mut Weights,
    ) -> Result<Reader<'l>> {
        let pickle = library.pickle(name)?;
        Ok(Reader { library, name, pickle, made: HashMap::new(), height: 0, worlds, weights })
    }

    /// What was pickled.
    pub(super) fn read(mut self) -> Result<Value> {
        let path = if self.name == "data" { "" } else { "constant" };
        self.value(self.pickle.root(), path, DEPTH)
    }

    fn wrong(&self, path: &str, message: impl Into<String>) -> ConvertError {
        damaged(&format!("{}.pkl, '{path}'", self.name), message.into())
    }

    fn value(&mut self, id: Id, path: &str, depth: usize) -> Result<Value> {
        if let Some((made, height)) = self.made.get(&id) {
            self.height = *height;
            return Ok(made.clone());
        }
        self.height = 0;
        let depth = depth.checked_sub(1).ok_or_else(|| self.wrong(path, "it nests too deep"))?;
        let node = self.pickle.node(id).clone();
        let value = match node {
            Node::None => Value::None,
            Node::Bool(value) => Value::Bool(value),
            Node::Int(value) => Value::Int(value),
            Node::Float(value) => Value::Float(value),
            Node::Text(text) => Value::text(&text),
            Node::Tuple(items) => Value::tuple(self.all(&items, path, depth)?),
            Node::List(items) => Value::list(self.all(&items, path, depth)?),
            Node::Dict(entries) => self.dict(&entries, path, depth)?,
            Node::Object(object) => self.object(id, &object, path, depth)?,
            Node::Global(module, name) => self.global(&format!("{module}.{name}"), path)?,
            _ => return Err(self.wrong(path, "it is of a kind that has no counterpart")),
        };
        self.height += 1;
        if self.height > HEIGHT {
            return Err(self.wrong(path, "it nests too deep"));
        }
        self.made.insert(id, (value.clone(), self.height));
        Ok(value)
    }

    fn all(&mut self, ids: &[Id], path: &str, depth: usize) -> Result<Vec<Value>> {
        let (mut values, mut highest) = (Vec::new(), 0);
        for (index, &id) in ids.iter().enumerate() {
            values.push(self.value(id, &joined(path, &index.to_string()), depth)?);
            highest = self.height.max(highest);
        }
        self.height = highest;
        Ok(values)
    }

    fn dict(&mut self, entries: &[(Id, Id)], path: &str, depth: usize) -> Result<Value> {
        let (mut made, mut highest) = (Vec::new(), 0);
        for &(key, value) in entries {
            let name = self.pickle.text(key).unwrap_or("item").to_owned();
            let key = self.value(key, path, depth)?;
            highest = self.height.max(highest);
            made.push((key, self.value(value, &joined(path, &name), depth)?));
            highest = self.height.max(highest);
        }
        self.height = highest;
        Ok(Value::dict(made))
    }

    fn global(&self, name: &str, path: &str) -> Result<Value> {
        if let Some((file, function)) = self.library.function(name)? {
            return Ok(Value::Function(Callee::Function(file, function)));
        }
        if let Some(class) = self.library.class(name)? {
            return Ok(Value::Function(Callee::Class(name.into(), class)));
        }
        Err(self.wrong(path, format!("the archive has no code of '{name}'")))
    }

    fn object(
        &mut self,
        id: Id,
        object: &crate::pytorch::pickle::Object,
        path: &str,
        depth: usize,
    ) -> Result<Value> {
        let tensor = {
            let (library, name) = (self.library, self.name);
            let locate = |storage: &crate::pytorch::weights::rebuild::StorageName| {
                library.storage(name, &storage.key)
            };
            Tensors { pickle: &self.pickle, locate: &locate }.tensor(id, path, depth)?
        };
        if let Some(weight) = tensor {
            return self.weight(path, weight);
        }
        let Some((module, name)) = self.pickle.global(object.class) else {
            return Err(self.wrong(path, "it is what another call gives"));
        };
        let (module, name) = (module.to_owned(), name.to_owned());
        let arguments = self.pickle.items(object.arguments).unwrap_or(&[]).to_vec();
        if let Some(value) = self.plain(&module, &name, &arguments, (path, depth))? {
            return Ok(value);
        }
        if module == "collections" && name == "OrderedDict" {
            return self.dict(&object.entries, path, depth);
        }
        let class_name = format!("{module}.{name}");
        if class_name.starts_with("__torch__.torch.classes.") {
            let message = format!(
                "it is an object of {class_name}, which is compiled code; {}",
                match class_name.contains("quantized") {
                    true => "save the model before it is quantized, and quantize the ONNX model",
                    false => "replace it in the model by modules of PyTorch",
                }
            );
            return Err(self.wrong(path, message));
        }
        let class = self.library.class(&class_name)?;
        let class = class
            .ok_or_else(|| self.wrong(path, format!("the archive has no class '{class_name}'")))?;
        self.instance((id, class_name.into(), class), object, (&arguments, path, depth))
    }

    fn instance(
        &mut self,
        (id, class_name, class): (Id, Rc<str>, Rc<super::syntax::Class>),
        object: &crate::pytorch::pickle::Object,
        (arguments, path, depth): (&[Id], &str, usize),
    ) -> Result<Value> {
        if class.base == "NamedTuple" {
            let items = self.all(arguments, path, depth)?;
            return Ok(Value::Tuple(Rc::new(items), Some(class)));
        }
        let made = Rc::new(Object {
            class_name,
            class: Rc::clone(&class),
            path: path.to_owned(),
            attributes: RefCell::default(),
        });
        // Before its attributes: they may lead back to it.
        self.made.insert(id, (Value::Object(Rc::clone(&made)), 0));
        if class.base == "Enum" {
            if let Some(&value) = arguments.first() {
                let value = self.value(value, path, depth)?;
                made.attributes.borrow_mut().insert("value".into(), value);
            }
            return Ok(Value::Object(made));
        }
        let Some(state) = object.state else { return Ok(Value::Object(made)) };
        let Some(entries) = self.pickle.entries(state).map(<[_]>::to_vec) else {
            let message = format!(
                "class '{}' restores itself with code (__setstate__); save the model with \
                 torch.export.save instead",
                class.name
            );
            return Err(self.wrong(path, message));
        };
        if class.method("__setstate__").is_some() {
            let message =
                format!("class '{}' restores itself with code (__setstate__)", class.name);
            return Err(self.wrong(path, message));
        }
        let mut highest = 0;
        for (key, value) in entries {
            let Some(name) = self.pickle.text(key).map(str::to_owned) else { continue };
            let value = self.value(value, &joined(path, &name), depth)?;
            highest = self.height.max(highest);
            made.attributes.borrow_mut().insert(name, value);
        }
        self.height = highest;
        Ok(Value::Object(made))
    }

    /// Lists with a type, devices.
    fn plain(
        &mut self,
        module: &str,
        name: &str,
        arguments: &[Id],
        (path, depth): (&str, usize),
    ) -> Result<Option<Value>> {
        let Some(&first) = arguments.first() else { return Ok(None) };
        Ok(Some(match (module, name) {
            (
                "torch.jit._pickle",
                "build_intlist" | "build_tensorlist" | "build_doublelist" | "build_boollist"
                | "restore_type_tag",
            ) => self.value(first, path, depth)?,
            ("torch", "device") => match self.value(first, path, depth)? {
                Value::Text(text) => Value::Device(text),
                _ => Value::Device("cpu".into()),
            },
            _ => return Ok(None),
        }))
    }

    fn weight(&mut self, path: &str, weight: Weight) -> Result<Value> {
        let sizes = weight.sizes().to_vec();
        let elements = sizes.iter().try_fold(1usize, |all, &size| all.checked_mul(size));
        let mut name = path.to_owned();
        while name.is_empty() || self.weights.contains_key(&name) {
            name.push('_');
        }
        let known = elements.is_some_and(|elements| elements <= FEW);
        let array = if known { weight.array().ok() } else { None };
        let seen = |_| Seen {
            element_type: weight.element_type(),
            dims: sizes.clone(),
            known: array.clone().map(Strided::new),
        };
        let worlds = (0..self.worlds).map(seen).collect();
        let is_known = Rc::new(Cell::new(array.is_some()));
        self.weights.insert(name.clone(), weight);
        Ok(Value::Tensor(Rc::new(Tensor { name, worlds, is_known })))
    }
}

/// A path with another name behind it.
pub(super) fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
