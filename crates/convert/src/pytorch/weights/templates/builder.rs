//! Writes a program layer by layer, as PyTorch's modules would, and keeps the shape of each value.
//!
//! A weight that is not in the file is noted, and the program goes on with its shape: everything
//! that does not fit is found in one pass.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::heads::Pooling;
use crate::pytorch::graph::{Argument, Meta, Program, Range, Size, ints};
use crate::pytorch::weight::{Storage, Weight};

/// A value of the program and its sizes.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) name: String,
    pub(super) sizes: Vec<Size>,
}

impl Value {
    /// The size of an axis where it is known, else 0.
    pub(super) fn size(&self, axis: usize) -> usize {
        let size = self.sizes.get(axis).and_then(Size::known);
        size.and_then(|size| usize::try_from(size).ok()).unwrap_or(0)
    }

    /// As an argument of a call.
    pub(super) fn arg(&self) -> Argument {
        Argument::Value(self.name.clone())
    }
}

/// A convolution over images, without a bias unless it says so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conv {
    pub(super) outputs: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
    pub(super) dilation: usize,
    pub(super) groups: usize,
    pub(super) bias: bool,
}

impl Conv {
    /// One that keeps the size of the image.
    pub(super) fn same(outputs: usize, kernel: usize) -> Conv {
        let padding = kernel / 2;
        Conv { outputs, kernel, stride: 1, padding, dilation: 1, groups: 1, bias: false }
    }

    pub(super) fn stride(self, stride: usize) -> Conv {
        Conv { stride, ..self }
    }

    pub(super) fn groups(self, groups: usize) -> Conv {
        Conv { groups, ..self }
    }

    pub(super) fn with_bias(self) -> Conv {
        Conv { bias: true, ..self }
    }
}

/// A program that is being written, and the weights for it.
pub(in crate::pytorch::weights) struct Builder<'w> {
    program: Program,
    weights: &'w BTreeMap<String, Weight>,
    /// Names and shapes that were asked for.
    expected: BTreeMap<String, Vec<usize>>,
    /// How often each name of a value was asked for.
    counts: HashMap<String, usize>,
    /// Values that inputs may have.
    ranges: BTreeMap<String, (f64, f64)>,
    /// Shapes of inputs that the caller wants instead.
    pub(in crate::pytorch::weights) shapes: BTreeMap<String, Vec<Dim>>,
    /// What becomes of the states of all tokens.
    pub(in crate::pytorch::weights) pooling: Option<Pooling>,
}

/// A written program, and the weights that it asked for.
pub(in crate::pytorch::weights) struct Built {
    pub(in crate::pytorch::weights) program: Program,
    pub(in crate::pytorch::weights) expected: BTreeMap<String, Vec<usize>>,
    pub(in crate::pytorch::weights) ranges: BTreeMap<String, (f64, f64)>,
}

impl<'w> Builder<'w> {
    /// An empty program with these weights at hand.
    pub(in crate::pytorch::weights) fn new(
        producer: &str,
        weights: &'w BTreeMap<String, Weight>,
    ) -> Builder<'w> {
        Builder {
            program: Program::new(producer),
            weights,
            expected: BTreeMap::new(),
            counts: HashMap::new(),
            ranges: BTreeMap::new(),
            shapes: BTreeMap::new(),
            pooling: None,
        }
    }

    /// The program and what it asked for.
    pub(in crate::pytorch::weights) fn finish(self) -> Built {
        Built { program: self.program, expected: self.expected, ranges: self.ranges }
    }

    /// Whether the file has a weight of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.weights.contains_key(name)
    }

    /// Whether the file has weights whose names begin like this.
    pub(super) fn has_prefix(&self, prefix: &str) -> bool {
        self.weights.keys().any(|name| name.starts_with(prefix))
    }

    /// The integers of an input are below this.
    pub(super) fn range(&mut self, input: &str, count: usize) {
        self.ranges.insert(input.into(), (0.0, count.saturating_sub(1) as f64));
    }

    /// A free size within a range.
    pub(super) fn symbol(&mut self, size: &Size, range: Range) {
        if let Size::Symbol(name) = size {
            self.program.symbols.insert(name.clone(), range);
        }
    }

    /// The size of an axis of a weight in the file, else this one: for what differs between models
    /// of one architecture, such as the number of classes.
    pub(super) fn size_of(&self, name: &str, axis: usize, default: usize) -> usize {
        let found = self.weights.get(name).and_then(|weight| weight.sizes().get(axis));
        found.copied().unwrap_or(default)
    }

    /// An input of these sizes, unless the caller wants others.
    pub(super) fn input(&mut self, name: &str, element_type: ElementType, sizes: &[Size]) -> Value {
        let wanted = self.shapes.get(name).filter(|dims| dims.len() == sizes.len());
        let wanted = wanted.map(|dims| dims.iter().map(size).collect::<Vec<Size>>());
        let sizes = wanted.as_deref().unwrap_or(sizes);
        for size in sizes {
            self.symbol(size, Range { min: 1, max: None });
        }
        self.program.input(name, Meta::tensor(element_type, sizes));
        self.counts.insert(name.into(), 1);
        Value { name: name.into(), sizes: sizes.to_vec() }
    }

    /// An output.
    pub(super) fn output(&mut self, name: &str, value: &Value) {
        self.program.output(name, &value.name);
    }

    /// A weight of floats of this name and shape.
    pub(super) fn weight(&mut self, name: &str, sizes: &[usize]) -> Value {
        let value =
            Value { name: name.to_owned(), sizes: sizes.iter().map(|&size| size.into()).collect() };
        if self.expected.insert(name.to_owned(), sizes.to_vec()).is_some() {
            return Value { name: self.as_float(name), ..value };
        }
        let found = self.weights.get(name).filter(|weight| weight.sizes() == sizes);
        // Without elements: whoever asks for them learns before that weights are missing.
        let nothing = || {
            let storage = Storage::Memory(Bytes::new());
            Weight::dense(storage, ElementType::Float32, sizes).ok()
        };
        if let Some(weight) = found.cloned().or_else(nothing) {
            let element_type = weight.element_type();
            self.program.parameter(name, weight);
            self.counts.insert(name.to_owned(), 1);
            if element_type != ElementType::Float32 {
                let meta = Meta::Tensor(ElementType::Float32, value.sizes.clone());
                let cast = as_float_name(name);
                let arguments =
                    [Argument::Value(name.into()), Argument::Type(ElementType::Float32)];
                self.program.graph.call("aten.to.dtype", &arguments, &cast);
                self.program.graph.values.insert(cast, meta);
            }
        }
        Value { name: self.as_float(name), ..value }
    }

    /// The value that a weight has as 32-bit floats.
    fn as_float(&self, name: &str) -> String {
        let cast = as_float_name(name);
        if self.program.graph.values.contains_key(&cast) { cast } else { name.to_owned() }
    }

    /// A name for a value that nothing else has.
    fn fresh(&mut self, name: &str) -> String {
        let count = self.counts.entry(name.to_owned()).or_insert(0);
        *count += 1;
        if *count == 1 { name.to_owned() } else { format!("{name}_{}", *count - 1) }
    }

    /// A call with one result of floats of these sizes. `name` is a hint.
    pub(super) fn call(
        &mut self,
        target: &str,
        arguments: &[Argument],
        (name, sizes): (&str, Vec<Size>),
    ) -> Value {
        self.call_of(
            target,
            arguments,
            (name, Meta::Tensor(ElementType::Float32, sizes.clone())),
            sizes,
        )
    }

    /// A call with one result of integers of these sizes.
    pub(super) fn call_ints(
        &mut self,
        target: &str,
        arguments: &[Argument],
        (name, sizes): (&str, Vec<Size>),
    ) -> Value {
        self.call_of(
            target,
            arguments,
            (name, Meta::Tensor(ElementType::Int64, sizes.clone())),
            sizes,
        )
    }

    /// A call with one result of truth values of these sizes.
    pub(super) fn call_bools(
        &mut self,
        target: &str,
        arguments: &[Argument],
        (name, sizes): (&str, Vec<Size>),
    ) -> Value {
        self.call_of(
            target,
            arguments,
            (name, Meta::Tensor(ElementType::Bool, sizes.clone())),
            sizes,
        )
    }

    fn call_of(
        &mut self,
        target: &str,
        arguments: &[Argument],
        (name, meta): (&str, Meta),
        sizes: Vec<Size>,
    ) -> Value {
        let name = self.fresh(name);
        self.program.graph.call(target, arguments, &name);
        self.program.graph.values.insert(name.clone(), meta);
        Value { name, sizes }
    }

    /// The size of an axis as a number that the program computes.
    pub(super) fn size_value(&mut self, value: &Value, axis: usize) -> Argument {
        let size = value.sizes.get(axis).cloned().unwrap_or(Size::Unknown);
        if let Some(known) = size.known() {
            return Argument::Int(known);
        }
        let hint = format!("{}.size.{axis}", value.name);
        let arguments = [value.arg(), Argument::Int(axis as i64)];
        self.call_of("aten.sym_size.int", &arguments, (&hint, Meta::Int(size)), Vec::new()).arg()
    }

    /// A function of each element.
    pub(super) fn each(&mut self, target: &str, x: &Value, name: &str) -> Value {
        self.call(target, &[x.arg()], (name, x.sizes.clone()))
    }

    /// A sum, product or the like of two values of which the first has the larger shape.
    pub(super) fn both(&mut self, target: &str, one: &Value, two: &Value, name: &str) -> Value {
        self.call(target, &[one.arg(), two.arg()], (name, one.sizes.clone()))
    }

    pub(super) fn conv(&mut self, x: &Value, name: &str, conv: Conv) -> Value {
        let inputs = x.size(1) / conv.groups.max(1);
        let shape = [conv.outputs, inputs, conv.kernel, conv.kernel];
        let weight = self.weight(&format!("{name}.weight"), &shape);
        let bias = match conv.bias {
            true => self.weight(&format!("{name}.bias"), &[conv.outputs]).arg(),
            false => Argument::None,
        };
        let pair = |value: usize| ints(&[value as i64; 2]);
        let arguments = [
            x.arg(),
            weight.arg(),
            bias,
            pair(conv.stride),
            pair(conv.padding),
            pair(conv.dilation),
            Argument::Int(conv.groups as i64),
        ];
        let reach = conv.dilation * (conv.kernel - 1);
        let mut sizes = vec![x.sizes[0].clone(), conv.outputs.into()];
        sizes.extend(
            x.sizes[2..].iter().map(|size| windows(size, 2 * conv.padding, reach, conv.stride)),
        );
        self.call("aten.conv2d.default", &arguments, (name, sizes))
    }

    /// Batch normalization with the statistics of training.
    pub(super) fn batch_norm(&mut self, x: &Value, name: &str, epsilon: f64) -> Value {
        let channels = [x.size(1)];
        let mut arguments = vec![x.arg()];
        for part in ["weight", "bias", "running_mean", "running_var"] {
            arguments.push(self.weight(&format!("{name}.{part}"), &channels).arg());
        }
        arguments.extend([false.into(), 0.1.into(), epsilon.into(), true.into()]);
        self.call("aten.batch_norm.default", &arguments, (name, x.sizes.clone()))
    }

    pub(super) fn linear(&mut self, x: &Value, name: &str, outputs: usize) -> Value {
        let inputs = x.size(x.sizes.len().saturating_sub(1));
        let weight = self.weight(&format!("{name}.weight"), &[outputs, inputs]);
        let bias = self.weight(&format!("{name}.bias"), &[outputs]);
        self.linear_of(x, (&weight, Some(&bias)), name)
    }

    /// A linear layer with these weights.
    pub(super) fn linear_of(
        &mut self,
        x: &Value,
        (weight, bias): (&Value, Option<&Value>),
        name: &str,
    ) -> Value {
        let mut sizes = x.sizes.clone();
        sizes.pop();
        sizes.push(weight.sizes[0].clone());
        let bias = bias.map_or(Argument::None, Value::arg);
        self.call("aten.linear.default", &[x.arg(), weight.arg(), bias], (name, sizes))
    }

    /// Layer normalization over the last dimension.
    pub(super) fn layer_norm(&mut self, x: &Value, name: &str, epsilon: f64) -> Value {
        let width = x.size(x.sizes.len().saturating_sub(1));
        let weight = self.weight(&format!("{name}.weight"), &[width]);
        let bias = self.weight(&format!("{name}.bias"), &[width]);
        let arguments = [x.arg(), ints(&[width as i64]), weight.arg(), bias.arg(), epsilon.into()];
        self.call("aten.layer_norm.default", &arguments, (name, x.sizes.clone()))
    }

    /// The largest of each window of `kernel` elements.
    pub(super) fn max_pool(
        &mut self,
        x: &Value,
        name: &str,
        (kernel, stride, padding): (usize, usize, usize),
    ) -> Value {
        let pair = |value: usize| ints(&[value as i64; 2]);
        let arguments = [x.arg(), pair(kernel), pair(stride), pair(padding)];
        let mut sizes = x.sizes[..2].to_vec();
        sizes
            .extend(x.sizes[2..].iter().map(|size| windows(size, 2 * padding, kernel - 1, stride)));
        self.call("aten.max_pool2d.default", &arguments, (name, sizes))
    }

    /// Means over `size` by `size` windows that divide the image.
    pub(super) fn adaptive_average_pool(&mut self, x: &Value, name: &str, size: usize) -> Value {
        let mut sizes = x.sizes[..2].to_vec();
        sizes.extend([size.into(), size.into()]);
        let arguments = [x.arg(), ints(&[size as i64; 2])];
        self.call("aten.adaptive_avg_pool2d.default", &arguments, (name, sizes))
    }

    /// All dimensions but the first as one.
    pub(super) fn flatten(&mut self, x: &Value, name: &str) -> Value {
        let width: usize = (1..x.sizes.len()).map(|axis| x.size(axis)).product();
        let sizes = vec![x.sizes[0].clone(), width.into()];
        self.call("aten.flatten.using_ints", &[x.arg(), Argument::Int(1)], (name, sizes))
    }

    /// One element along an axis, which disappears.
    pub(super) fn select(&mut self, x: &Value, axis: usize, index: i64, name: &str) -> Value {
        let mut sizes = x.sizes.clone();
        sizes.remove(axis);
        let arguments = [x.arg(), Argument::Int(axis as i64), Argument::Int(index)];
        self.call("aten.select.int", &arguments, (name, sizes))
    }

    pub(super) fn transpose(&mut self, x: &Value, (one, two): (usize, usize), name: &str) -> Value {
        let mut sizes = x.sizes.clone();
        sizes.swap(one, two);
        let arguments = [x.arg(), Argument::Int(one as i64), Argument::Int(two as i64)];
        self.call("aten.transpose.int", &arguments, (name, sizes))
    }
}

fn size(dim: &Dim) -> Size {
    match dim {
        Dim::Fixed(size) => (*size).into(),
        Dim::Symbol(symbol) => Size::symbol(symbol),
        Dim::Free => Size::Unknown,
    }
}

fn as_float_name(name: &str) -> String {
    format!("{name}.float")
}

/// How many positions a window has along an axis.
fn windows(size: &Size, padding: usize, reach: usize, stride: usize) -> Size {
    let Some(size) = size.known() else { return Size::Unknown };
    let room = size + padding as i64 - reach as i64 - 1;
    if room < 0 { Size::Known(0) } else { Size::Known(room / stride.max(1) as i64 + 1) }
}
