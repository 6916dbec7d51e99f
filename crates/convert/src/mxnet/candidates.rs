//! Which shapes the inputs have. A symbol does not say; the weights do, and for the rest sizes are
//! tried that fit all operators.

use std::collections::BTreeMap;

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::MxNet;
use super::infer::{Inference, Info, infer};
use super::planes::Planes;
use super::slots::{Slot, same_batch, slots_of};
use super::symbol::Place;
use crate::{ConvertError, Options};

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
