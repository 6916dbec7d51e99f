//! Attributes of a node, by name. Those that have their operator's default are often left out of
//! the file, so every question comes with what to take then.

use std::collections::BTreeMap;
use std::sync::Arc;

use modelyard_graph::ElementType;

use super::dtype;
use super::proto::{AttrValue, ListValue, TensorProto, TensorShapeProto};

/// The attributes of one node.
#[derive(Clone, Debug, Default)]
pub(super) struct Attrs(Arc<BTreeMap<String, AttrValue>>);

impl Attrs {
    pub(super) fn new(attrs: BTreeMap<String, AttrValue>) -> Attrs {
        Attrs(Arc::new(attrs))
    }

    pub(super) fn get(&self, name: &str) -> Option<&AttrValue> {
        self.0.get(name)
    }

    fn list(&self, name: &str) -> Option<&ListValue> {
        self.get(name)?.list.as_ref()
    }

    pub(super) fn int(&self, name: &str, default: i64) -> i64 {
        self.get(name).and_then(|value| value.int).unwrap_or(default)
    }

    pub(super) fn float(&self, name: &str, default: f32) -> f32 {
        self.get(name).and_then(|value| value.float).unwrap_or(default)
    }

    pub(super) fn bool(&self, name: &str, default: bool) -> bool {
        self.get(name).and_then(|value| value.bool).unwrap_or(default)
    }

    /// A text; the default where it is absent or no UTF-8.
    pub(super) fn text<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        let found = self.get(name).and_then(|value| value.string.as_ref());
        found.and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or(default)
    }

    /// A list of integers; empty where it is absent.
    pub(super) fn ints(&self, name: &str) -> Vec<i64> {
        self.list(name).map(|list| list.ints.clone()).unwrap_or_default()
    }

    /// The type that an attribute names; `None` where it is absent or has no counterpart.
    pub(super) fn element_type(&self, name: &str) -> Option<ElementType> {
        dtype::element_type(self.get(name)?.dtype?)
    }

    pub(super) fn tensor(&self, name: &str) -> Option<&TensorProto> {
        self.get(name)?.tensor.as_ref()
    }

    pub(super) fn shape(&self, name: &str) -> Option<&TensorShapeProto> {
        self.get(name)?.shape.as_ref()
    }

    /// The shapes that an attribute lists.
    pub(super) fn shapes(&self, name: &str) -> &[TensorShapeProto] {
        self.list(name).map_or(&[], |list| &list.shapes)
    }
}
