//! Pickles, read without doing what they say.
//!
//! A pickle is a program: it may name any function and call it. Nothing is called here. What a
//! pickle makes is a tree of plain values, in which every call of a function or class stands as
//! an [`Node::Object`] with its name and arguments. Readers know the few names that tensors are made
//! of; [`Pickle::forbidden`] finds all the others.
//!
//! | module | holds |
//! |---|---|
//! | `machine` | the operations of pickles, versions 0 to 5 |
//! | `globals` | which names are harmless |

mod globals;
mod machine;

use bytes::Bytes;

use crate::{ConvertError, Limits};

pub(crate) use machine::Machine;

/// What errors call the format.
const FORMAT: &str = "pickle";

/// A value in a [`Pickle`]: values that are used twice are there once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id(usize);

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than 64 bits, as little-endian bytes.
    Long(Bytes),
    Float(f64),
    Text(String),
    Bytes(Bytes),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Set(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A function or class by its module and name.
    Global(String, String),
    /// Something that is stored outside of the pickle.
    Persistent(Id),
    /// A call that was not made.
    Object(Box<Object>),
}

/// A call that a pickle asks for, and what it does with the result.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object {
    /// What is called; a [`Node::Global`] in what people write.
    pub(crate) class: Id,
    /// A tuple of arguments.
    pub(crate) arguments: Id,
    /// What the object is told about itself.
    pub(crate) state: Option<Id>,
    /// What is appended to it.
    pub(crate) items: Vec<Id>,
    /// What is put into it by key.
    pub(crate) entries: Vec<(Id, Id)>,
}

/// All values of a pickle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pickle {
    nodes: Vec<Node>,
    root: usize,
}

impl Pickle {
    /// Reads a pickle that is all of `bytes`.
    pub(crate) fn read(bytes: &Bytes, limits: &Limits) -> Result<Pickle, ConvertError> {
        Machine::new(bytes.clone(), limits).pickle()
    }

    /// The value that was pickled.
    pub(crate) fn root(&self) -> Id {
        Id(self.root)
    }

    /// All values, in the order in which they were made.
    pub(crate) fn ids(&self) -> impl Iterator<Item = Id> {
        (0..self.nodes.len()).map(Id)
    }

    /// What a value is.
    pub(crate) fn node(&self, id: Id) -> &Node {
        self.nodes.get(id.0).unwrap_or(&Node::None)
    }

    /// The integer that a value is.
    pub(crate) fn int(&self, id: Id) -> Option<i64> {
        match self.node(id) {
            Node::Int(value) => Some(*value),
            Node::Bool(value) => Some(i64::from(*value)),
            _ => None,
        }
    }

    /// The text that a value is.
    pub(crate) fn text(&self, id: Id) -> Option<&str> {
        match self.node(id) {
            Node::Text(text) => Some(text),
            // Python 2 wrote texts as bytes.
            Node::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The items of a tuple or list, or of a `torch.Size`.
    pub(crate) fn items(&self, id: Id) -> Option<&[Id]> {
        match self.node(id) {
            Node::Tuple(items) | Node::List(items) | Node::Set(items) => Some(items),
            Node::Object(object) if self.is_global(object.class, "torch", "Size") => {
                match self.items_of_tuple(object.arguments)? {
                    [only] => self.items_of_tuple(*only),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn items_of_tuple(&self, id: Id) -> Option<&[Id]> {
        match self.node(id) {
            Node::Tuple(items) | Node::List(items) => Some(items),
            _ => None,
        }
    }

    /// The integers of a tuple or list.
    pub(crate) fn ints(&self, id: Id) -> Option<Vec<i64>> {
        self.items(id)?.iter().map(|&item| self.int(item)).collect()
    }

    /// The entries of a dict, an `OrderedDict` or another object that things are put into.
    pub(crate) fn entries(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.node(id) {
            Node::Dict(entries) => Some(entries),
            Node::Object(object) if !object.entries.is_empty() => Some(&object.entries),
            Node::Object(object) if self.is_global(object.class, "collections", "OrderedDict") => {
                Some(&object.entries)
            }
            _ => None,
        }
    }

    /// The entry of a dict under this text.
    pub(crate) fn entry(&self, id: Id, key: &str) -> Option<Id> {
        let found = self.entries(id)?.iter().find(|(name, _)| self.text(*name) == Some(key));
        found.map(|(_, value)| *value)
    }

    /// The object that a value is.
    pub(crate) fn object(&self, id: Id) -> Option<&Object> {
        match self.node(id) {
            Node::Object(object) => Some(object),
            _ => None,
        }
    }

    /// Module and name of a function or class.
    pub(crate) fn global(&self, id: Id) -> Option<(&str, &str)> {
        match self.node(id) {
            Node::Global(module, name) => Some((module, name)),
            _ => None,
        }
    }

    /// What an object calls: PyTorch stores classes of modules with their sources outside of the
    /// pickle, as `('module', class, file, source)`.
    fn callee(&self, object: &Object) -> Option<(&str, &str)> {
        match self.node(object.class) {
            Node::Persistent(id) => match self.items(*id)? {
                &[kind, class, ..] if self.text(kind) == Some("module") => self.global(class),
                _ => None,
            },
            _ => self.global(object.class),
        }
    }

    fn is_global(&self, id: Id, module: &str, name: &str) -> bool {
        self.global(id) == Some((module, name))
    }

    /// The first function or class that would be called by whoever executes this pickle and is not
    /// known to be harmless: `module.name`.
    pub(crate) fn forbidden(&self) -> Option<String> {
        self.nodes.iter().find_map(|node| {
            let Node::Object(object) = node else { return None };
            match self.callee(object) {
                Some((module, name)) if globals::is_harmless(module, name) => None,
                Some((module, name)) => Some(format!("{module}.{name}")),
                None => Some("the result of another call".into()),
            }
        })
    }

    /// The class of the value, where it is a whole module of PyTorch: weights and code together.
    pub(crate) fn module_class(&self, id: Id) -> Option<String> {
        let object = self.object(id)?;
        let state = object.state?;
        let is_module =
            self.entry(state, "_modules").is_some() && self.entry(state, "_parameters").is_some();
        let (module, name) = self.callee(object)?;
        is_module.then(|| format!("{module}.{name}"))
    }
}

pub(super) fn damaged(place: String, message: impl Into<String>) -> ConvertError {
    ConvertError::Malformed { format: FORMAT, place, message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Pickle {
        Pickle::read(&Bytes::copy_from_slice(bytes), &Limits::default()).unwrap()
    }

    #[test]
    fn plain_values_are_read() {
        // pickle.dumps({"a": [1, -2, 2.5, None, True, (3,)], "b": b"x"}, protocol=4)
        let pickle = read(
            b"\x80\x04\x95\x2e\0\0\0\0\0\0\0}\x94(\x8c\x01a\x94]\x94(K\x01J\xfe\xff\xff\xffG@\x04\0\0\
              \0\0\0\0N\x88K\x03\x85\x94e\x8c\x01b\x94C\x01x\x94u.",
        );
        let list = pickle.entry(pickle.root(), "a").unwrap();
        let items = pickle.items(list).unwrap();
        assert_eq!((pickle.int(items[0]), pickle.int(items[1])), (Some(1), Some(-2)));
        assert_eq!(*pickle.node(items[2]), Node::Float(2.5));
        assert_eq!(*pickle.node(items[3]), Node::None);
        assert_eq!(pickle.ints(items[5]), Some(vec![3]));
        let bytes = pickle.entry(pickle.root(), "b").unwrap();
        assert_eq!(*pickle.node(bytes), Node::Bytes(Bytes::from_static(b"x")));
    }

    #[test]
    fn calls_are_named_and_not_made() {
        let pickle = read(b"cos\nsystem\n(S'true'\ntR.");
        let call = pickle.object(pickle.root()).unwrap();
        assert_eq!(pickle.global(call.class), Some(("os", "system")));
        assert_eq!(pickle.forbidden().as_deref(), Some("os.system"));
        let pickle = read(b"(S'true'\nios\nsystem\n.");
        assert_eq!(pickle.forbidden().as_deref(), Some("os.system"));
        let pickle = read(b"(cos\nsystem\nS'true'\no.");
        assert_eq!(pickle.forbidden().as_deref(), Some("os.system"));
        let stacked = read(b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93\x94\x8c\x04true\x85R.");
        assert_eq!(stacked.forbidden().as_deref(), Some("os.system"));
        // A call of what another call gave.
        let nested = read(b"cbuiltins\ngetattr\n(I1\ntR(I2\ntR.");
        assert_eq!(nested.forbidden().as_deref(), Some("builtins.getattr"));
        let harmless = read(b"ccollections\nOrderedDict\n)R(S'a'\nI1\nu.");
        assert_eq!(harmless.forbidden(), None);
        assert_eq!(harmless.int(harmless.entry(harmless.root(), "a").unwrap()), Some(1));
    }

    #[test]
    fn nonsense_is_an_error() {
        let error = |bytes: &[u8]| {
            let bytes = Bytes::copy_from_slice(bytes);
            Pickle::read(&bytes, &Limits::default()).unwrap_err().to_string()
        };
        assert!(error(b"").contains("ends"));
        assert!(error(b"\x80\x09.").contains("protocol 9"));
        assert!(error(b"R.").contains("stack"));
        assert!(error(b"e.").contains("mark"));
        assert!(error(b"h\x01.").contains("memo"));
        assert!(error(b"X\xff\xff\xff\xff").contains("ends"));
        assert!(error(b"\xff.").contains("0xff"));
        assert!(error(b"Nb.").contains("stack"));
    }

    #[test]
    fn what_holds_itself_is_no_trouble() {
        // a = []; a.append(a)
        let pickle = read(b"\x80\x02]q\0h\0a.");
        assert_eq!(pickle.items(pickle.root()), Some(&[pickle.root()][..]));
        assert_eq!(pickle.forbidden(), None);
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_do_no_harm(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            if let Ok(pickle) = Pickle::read(&bytes.into(), &Limits::default()) {
                pickle.forbidden();
                pickle.module_class(pickle.root());
            }
        }

        #[test]
        fn random_operations_do_no_harm(
            operations in proptest::collection::vec(proptest::sample::select(
                &b"()]}aesudtlobRN\x85\x86\x87\x81\x93\x94\x8f\x90\x9101Q2h\0q\0K\x01"[..]
            ), 0..100),
        ) {
            let bytes: Vec<u8> = operations.into_iter().chain(*b".").collect();
            if let Ok(pickle) = Pickle::read(&bytes.into(), &Limits::default()) {
                pickle.forbidden();
            }
        }
    }
}
