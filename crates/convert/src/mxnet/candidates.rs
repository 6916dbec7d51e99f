//! Which shapes the inputs have. A symbol does not say; the weights do, and for the rest sizes are
//! tried that fit all operators.

use std::collections::{BTreeMap, BTreeSet};

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::MxNet;
use super::infer::{Inference, Info, infer};
use super::planes::Planes;
use super::symbol::{Node, Place};
use crate::{ConvertError, Options};

/// One dimension of an input, before sizes are tried.
#[derive(Clone, Debug, PartialEq)]
enum Slot {
    Fixed(usize),
    Batch,
    /// Of a clip.
    Time,
    Height,
    Width,
    /// Of a sequence: any.
    Length(String),
}

/// Sizes for the slots.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sizes {
    pub(super) batch: usize,
    pub(super) time: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) length: usize,
}

/// An input of the model.
#[derive(Clone, Debug)]
pub(super) struct Input {
    /// The number of its node.
    pub(super) node: usize,
    pub(super) name: String,
    pub(super) kind: ElementType,
    pub(super) dims: Vec<Dim>,
}

/// The inputs, and the shapes of everything for two sets of sizes, which differ in all that is
/// free.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) inputs: Vec<Input>,
    pub(super) one: Inference,
    pub(super) two: Inference,
    /// The shapes for other sizes of images that fit, where those are free.
    pub(super) others: Vec<Inference>,
    /// Sizes that the free dimensions can have.
    pub(super) sizes: BTreeMap<String, usize>,
    pub(super) notes: Vec<String>,
}

/// Heights and widths that networks are made for, the most common first.
const PLANES: [(usize, usize); 24] = [
    (224, 224),
    (256, 256),
    (299, 299),
    (320, 320),
    (480, 480),
    (512, 512),
    (300, 300),
    (416, 416),
    (331, 331),
    (112, 112),
    (128, 128),
    (64, 64),
    (32, 32),
    (28, 28),
    (768, 768),
    (1024, 1024),
    (192, 640),
    (256, 192),
    (608, 608),
    (640, 640),
    (384, 384),
    (96, 96),
    (160, 160),
    (48, 48),
];

/// Lengths of clips.
const TIMES: [usize; 8] = [16, 32, 36, 40, 64, 80, 8, 48];

/// How much larger a plane must be for each of its sizes inside to differ, those of the coarsest
/// feature maps too: one pixel of them stands for 64 of the image, and they are rounded.
const COARSE: usize = 128;

const START: Sizes = Sizes { batch: 2, time: 16, height: 224, width: 224, length: 12 };

/// Looks for shapes of the inputs. `fixed` asks for sizes that are not free, but for the batch.
pub(super) fn layout(
    model: &MxNet,
    options: &Options,
    fixed: bool,
) -> Result<Layout, ConvertError> {
    let mut slots = BTreeMap::new();
    for &node in &model.variables {
        slots.insert(node, slots_of(model, node, options)?);
    }
    same_batch(model, &mut slots);
    let mut search = Search { model, slots: &slots, keeps_rows: true };
    let base = match search.base() {
        Ok(base) => base,
        Err(_) => {
            search.keeps_rows = false;
            search.base()?
        }
    };
    let mut free = base;
    let mut notes = Vec::new();
    let mut is_free = Freedom::default();
    // Each kind of size is changed by itself, and is free where that fits.
    for change in [
        (|sizes, free| (Sizes { batch: sizes.batch + 1, ..sizes }, Freedom { batch: true, ..free }))
            as fn(Sizes, Freedom) -> (Sizes, Freedom),
        |sizes, free| {
            (Sizes { length: sizes.length + 3, ..sizes }, Freedom { length: true, ..free })
        },
        |sizes, free| {
            let (height, width) = (sizes.height + COARSE, sizes.width + 2 * COARSE);
            (Sizes { height, width, ..sizes }, Freedom { plane: true, ..free })
        },
        |sizes, free| (Sizes { time: sizes.time + 16, ..sizes }, Freedom { time: true, ..free }),
    ] {
        let (changed, freedom) = change(free, is_free);
        let only_batch = fixed && (freedom.plane || freedom.time);
        if !only_batch && search.fits(&changed) {
            (free, is_free) = (changed, freedom);
        }
    }
    let uses = |wanted: fn(&Slot) -> bool| slots.values().flatten().any(wanted);
    let mut others = Vec::new();
    if is_free.plane && uses(|slot| matches!(slot, Slot::Height | Slot::Width)) {
        let planes = Planes::of(&search, &base);
        notes.extend(planes.note(&base));
        others = planes.fitting;
    }
    if !is_free.plane && uses(|slot| *slot == Slot::Height) {
        let (height, width) = (base.height, base.width);
        notes.push(format!(
            "the symbol does not say the size of its input: {height}x{width} fits its weights and \
             operators; say another with --shape"
        ));
    }
    if !is_free.time && uses(|slot| *slot == Slot::Time) {
        let time = base.time;
        notes.push(format!(
            "the symbol does not say the number of frames: {time} fits; say another with --shape"
        ));
    }
    if !is_free.batch && uses(|slot| *slot == Slot::Batch) {
        let batch = base.batch;
        notes.push(format!("the operators fix the batch size at {batch}"));
    }
    let mut inputs = Vec::new();
    for (&node, slots) in &slots {
        let dims = slots.iter().map(|slot| is_free.dim(slot, &base)).collect();
        let name = model.symbol.nodes.get(node).map_or("", |node| &node.name).to_owned();
        inputs.push(Input { node, name, kind: model.kind_of(node), dims });
    }
    let sizes = [("time", base.time), ("height", base.height), ("width", base.width)];
    Ok(Layout {
        inputs,
        one: search.infer(&base),
        two: search.infer(&free),
        others,
        sizes: sizes.map(|(name, size)| (name.to_owned(), size)).into_iter().collect(),
        notes,
    })
}

/// What is free.
#[derive(Clone, Copy, Debug, Default)]
struct Freedom {
    batch: bool,
    time: bool,
    plane: bool,
    length: bool,
}

impl Freedom {
    fn dim(self, slot: &Slot, base: &Sizes) -> Dim {
        let name = |name: &str| Dim::Symbol(name.into());
        match slot {
            Slot::Batch if self.batch => name("batch"),
            Slot::Time if self.time => name("time"),
            Slot::Height if self.plane => name("height"),
            Slot::Width if self.plane => name("width"),
            Slot::Length(length) if self.length => name(length),
            slot => Dim::Fixed(slot.size(base)),
        }
    }
}

impl Slot {
    fn size(&self, sizes: &Sizes) -> usize {
        match self {
            Slot::Fixed(size) => *size,
            Slot::Batch => sizes.batch,
            Slot::Time => sizes.time,
            Slot::Height => sizes.height,
            Slot::Width => sizes.width,
            Slot::Length(_) => sizes.length,
        }
    }
}

pub(super) struct Search<'a> {
    model: &'a MxNet,
    slots: &'a BTreeMap<usize, Vec<Slot>>,
    /// Whether outputs must have as many rows as the batch. Reshaping to a fixed width makes more
    /// rows of larger images, which fits but is not meant.
    keeps_rows: bool,
}

impl Search<'_> {
    fn infer(&self, sizes: &Sizes) -> Inference {
        let model = self.model;
        let info = |(&node, slots): (&usize, &Vec<Slot>)| {
            let dims: Vec<usize> = slots.iter().map(|slot| slot.size(sizes)).collect();
            (node, Info::new(model.kind_of(node), &dims))
        };
        let inputs: BTreeMap<usize, Info> = self.slots.iter().map(info).collect();
        infer(&model.symbol, &model.parameters, &model.used, &inputs)
    }

    fn fits(&self, sizes: &Sizes) -> bool {
        self.fitting(sizes).is_some()
    }

    /// The shapes of everything, where these sizes fit all operators.
    pub(super) fn fitting(&self, sizes: &Sizes) -> Option<Inference> {
        let found = self.infer(sizes);
        let fits = found.problems.is_empty() && (!self.keeps_rows || self.has_rows(&found, sizes));
        fits.then_some(found)
    }

    fn has_rows(&self, found: &Inference, sizes: &Sizes) -> bool {
        let has_batch = self.slots.values().flatten().any(|slot| *slot == Slot::Batch);
        let rows = |place: &Place| found.get(*place).and_then(|info| info.dims.first().copied());
        !has_batch || self.model.symbol.heads.iter().all(|head| rows(head) == Some(sizes.batch))
    }

    /// The first sizes that fit.
    fn base(&self) -> Result<Sizes, ConvertError> {
        let has = |wanted: &Slot| self.slots.values().flatten().any(|slot| slot == wanted);
        let times: &[usize] = if has(&Slot::Time) { &TIMES } else { &TIMES[..1] };
        let plane = has(&Slot::Height) || has(&Slot::Width);
        let planes: &[(usize, usize)] = if plane { &PLANES } else { &PLANES[..1] };
        // Small networks have small images of any size.
        let small = (1..if plane { 128 } else { 1 }).map(|size| (size, size));
        let planes: Vec<(usize, usize)> = planes.iter().copied().chain(small).collect();
        let mut first = None;
        let said = self.model.batches().map(|(_, batch)| batch);
        for batch in said.chain([START.batch, 1]) {
            for &(height, width) in &planes {
                for &time in times {
                    let sizes = Sizes { batch, time, height, width, ..START };
                    if self.fits(&sizes) {
                        return Ok(sizes);
                    }
                    first.get_or_insert(sizes);
                }
            }
        }
        Err(self.model.missing(self.infer(&first.unwrap_or(START)).problems))
    }
}

/// Where inputs are said to have different first sizes, those are no batch.
fn same_batch(model: &MxNet, slots: &mut BTreeMap<usize, Vec<Slot>>) {
    let batches: BTreeSet<usize> = model.batches().map(|(_, batch)| batch).collect();
    if batches.len() < 2 {
        return;
    }
    for (node, batch) in model.batches() {
        if let Some(first) = slots.get_mut(&node).and_then(|slots| slots.first_mut())
            && *first == Slot::Batch
        {
            *first = Slot::Fixed(batch);
        }
    }
}

/// The slots of an input: from the options, the symbol, or what takes it.
fn slots_of(model: &MxNet, node: usize, options: &Options) -> Result<Vec<Slot>, ConvertError> {
    let Some(variable) = model.symbol.nodes.get(node) else { return Ok(Vec::new()) };
    if let Some(dims) = options.shapes.get(&variable.name) {
        return Ok(dims
            .iter()
            .enumerate()
            .map(|(axis, dim)| given(axis, dim, dims.len()))
            .collect());
    }
    let shape = variable.attributes.ints("__shape__").ok().flatten().unwrap_or_default();
    if !shape.is_empty() && shape.iter().all(|&size| (1..1 << 31).contains(&size)) {
        let size = |(axis, &size): (usize, &i64)| match axis {
            0 => Slot::Batch,
            _ => Slot::Fixed(size as usize),
        };
        return Ok(shape.iter().enumerate().map(size).collect());
    }
    guess(model, node).ok_or_else(|| {
        let name = &variable.name;
        ConvertError::Option(format!(
            "the symbol does not say the shape of its input '{name}'; give it, such as \
             --shape {name}=batch,3,224,224"
        ))
    })
}

/// A dimension that the user gave.
fn given(axis: usize, dim: &Dim, rank: usize) -> Slot {
    match (dim, axis, rank) {
        (Dim::Fixed(size), _, _) => Slot::Fixed(*size),
        (_, 0, _) => Slot::Batch,
        (_, 2, 5) => Slot::Time,
        (_, axis, 4 | 5) if axis + 2 == rank => Slot::Height,
        (_, axis, 4 | 5) if axis + 1 == rank => Slot::Width,
        (Dim::Symbol(name), ..) => Slot::Length(name.clone()),
        (Dim::Free, ..) => Slot::Length("length".into()),
    }
}

/// How many nodes are looked at for one input.
const LOOKS: usize = 64;

/// From the first operator that knows: a convolution, a product, a table of vectors.
fn guess(model: &MxNet, node: usize) -> Option<Vec<Slot>> {
    let mut seen = BTreeSet::new();
    let mut open = vec![Place { node, output: 0 }];
    while let Some(place) = open.pop() {
        if seen.len() > LOOKS || !seen.insert(place) {
            continue;
        }
        for (index, user) in model.users(place) {
            let first = user.inputs.first() == Some(&place);
            if first && let Some(slots) = asked(model, user) {
                return Some(slots);
            }
            let state = user.inputs.iter().skip(2).any(|other| *other == place);
            if user.operator == "RNN" && state {
                let [rows, width] = super::ops::rnn::state(&user.attributes)?;
                return Some(vec![Slot::Fixed(rows), Slot::Batch, Slot::Fixed(width)]);
            }
            if PASSES.contains(&user.operator.as_str()) {
                open.insert(0, Place { node: index, output: 0 });
            }
        }
    }
    None
}

/// Operators behind which a value has as many dimensions and channels as before.
const PASSES: [&str; 36] = [
    "_copy",
    "identity",
    "BlockGrad",
    "Dropout",
    "Cast",
    "amp_cast",
    "clip",
    "BatchNorm",
    "Activation",
    "LeakyReLU",
    "relu",
    "sigmoid",
    "tanh",
    "Pad",
    "pad",
    "slice",
    "_plus_scalar",
    "_PlusScalar",
    "_minus_scalar",
    "_MinusScalar",
    "_rminus_scalar",
    "_mul_scalar",
    "_MulScalar",
    "_div_scalar",
    "_DivScalar",
    "_rdiv_scalar",
    "_power_scalar",
    "broadcast_add",
    "broadcast_sub",
    "broadcast_mul",
    "broadcast_div",
    "broadcast_minus",
    "broadcast_plus",
    "elemwise_add",
    "elemwise_sub",
    "elemwise_mul",
];

/// The shape that an operator asks of its first input.
fn asked(model: &MxNet, user: &Node) -> Option<Vec<Slot>> {
    let weight = user.inputs.get(1).and_then(|place| model.parameter(*place));
    let attributes = &user.attributes;
    match user.operator.as_str() {
        "Convolution" | "Convolution_v1" | "Deconvolution" => {
            let weight = weight?;
            let groups = attributes.count_or("num_group", 1).ok()?;
            let last = attributes.text("layout").is_some_and(|layout| layout.ends_with('C'));
            let transposed = user.operator == "Deconvolution";
            let channels = match (transposed, last) {
                (true, _) => *weight.dims.first()?,
                (false, false) => weight.dims.get(1)?.checked_mul(groups)?,
                (false, true) => weight.dims.last()?.checked_mul(groups)?,
            };
            let mut slots = vec![Slot::Batch];
            let inner = match attributes.ints("kernel").ok()??.len() {
                1 => vec![Slot::Length("length".into())],
                2 => vec![Slot::Height, Slot::Width],
                3 => vec![Slot::Time, Slot::Height, Slot::Width],
                _ => return None,
            };
            if last {
                slots.extend(inner);
                slots.push(Slot::Fixed(channels));
            } else {
                slots.push(Slot::Fixed(channels));
                slots.extend(inner);
            }
            Some(slots)
        }
        "FullyConnected" => {
            let inputs = Slot::Fixed(*weight?.dims.get(1)?);
            match attributes.flag_or("flatten", true).ok()? {
                true => Some(vec![Slot::Batch, inputs]),
                false => Some(vec![Slot::Batch, Slot::Length("length".into()), inputs]),
            }
        }
        "Embedding" => Some(vec![Slot::Batch, Slot::Length("length".into())]),
        "Flatten" | "flatten" => {
            let (_, next) = model.users(model.output_of(user)?).next()?;
            asked(model, next)
        }
        "SwapAxis" | "swapaxes" | "SwapAxes" => {
            let (_, next) = model.users(model.output_of(user)?).next()?;
            let mut slots = asked(model, next)?;
            let dim = |key| usize::try_from(attributes.int_or(key, 0).ok()?).ok();
            let (one, two) = (dim("dim1")?, dim("dim2")?);
            (one < slots.len() && two < slots.len()).then(|| slots.swap(one, two))?;
            Some(slots)
        }
        "RNN" => {
            let weights = user.inputs.get(1).and_then(|place| elements(model, *place, 0))?;
            let inputs = super::ops::rnn::inputs(attributes, weights)?;
            Some(vec![Slot::Length("length".into()), Slot::Batch, Slot::Fixed(inputs)])
        }
        _ => None,
    }
}

/// How many elements parameters have that are only reshaped and put together.
fn elements(model: &MxNet, place: Place, depth: usize) -> Option<usize> {
    if let Some(entry) = model.parameter(place) {
        return entry.dims.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim));
    }
    let node = model.symbol.nodes.get(place.node)?;
    let passes = matches!(&*node.operator, "Reshape" | "_rnn_param_concat" | "Concat" | "concat");
    if !passes || depth > 4 {
        return None;
    }
    let parts = node.inputs.iter().map(|&place| elements(model, place, depth + 1));
    parts.sum()
}
