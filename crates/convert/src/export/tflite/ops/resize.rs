//! `RESIZE_BILINEAR` and `RESIZE_NEAREST_NEIGHBOR`; what neither takes is gathered, row by row.

use modelyard_graph::Node;

use super::super::super::graph::makeable;
use super::super::options;
use super::super::stop::{Stop, refused};
use super::super::writer::{INT32, Id, Writer};
use super::unary::ends;

/// How places of the result lie over those of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Places {
    /// The corners lie on each other.
    Corners,
    /// The centers of elements are at halves.
    Halves,
    /// Elements begin at whole numbers.
    Begins,
}

pub(super) fn write<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let dims = [cx.known_dims(input)?, cx.known_dims(output)?];
    if dims[0].len() != 4 || dims[0][0] != dims[1][0] || dims[0][3] != dims[1][3] {
        return Err(refused("other axes than two of space", "resize images"));
    }
    if node.int("antialias").unwrap_or(0) != 0 {
        return Err(refused("antialias", "resize without antialiasing"));
    }
    let places = places(node, &dims[1])?;
    let (value, made) = cx.through(input, output)?;
    let axes: Option<Vec<[usize; 2]>> =
        [1, 2].iter().map(|&axis| Some([dims[0][axis]?, dims[1][axis]?])).collect();
    let is_nearest = node.string("mode").unwrap_or("nearest") == "nearest";
    match (node.string("mode").unwrap_or("nearest"), axes) {
        ("nearest", Some(axes)) if axes.iter().all(|sizes| makeable(sizes).is_some()) => {
            nearest(cx, node, places, (value, made), &axes)
        }
        ("linear" | "nearest", axes) => {
            if let Some(axes) = &axes {
                check_scales(cx, node, axes)?;
            } else if is_nearest && node.string("nearest_mode") != Some("floor") {
                return Err(refused(
                    "the nearest element of images of open size",
                    "fix their size",
                ));
            }
            let sizes = sizes(cx, node, value, axes)?;
            let flags = (places == Places::Corners, places == Places::Halves);
            let (operator, options) = match is_nearest {
                true => ("RESIZE_NEAREST_NEIGHBOR", options::resize_nearest(flags.0, flags.1)),
                false => ("RESIZE_BILINEAR", options::resize_bilinear(flags.0, flags.1)),
            };
            cx.with(operator, &[Some(value), Some(sizes)], &[made], Some(options));
            Ok(())
        }
        (mode, _) => Err(refused(format!("mode '{mode}'"), "resize with linear or nearest")),
    }
}

fn places(node: &Node, after: &[Option<usize>]) -> Result<Places, Stop> {
    match node.string("coordinate_transformation_mode").unwrap_or("half_pixel") {
        "align_corners" => Ok(Places::Corners),
        "half_pixel" | "half_pixel_symmetric" => Ok(Places::Halves),
        "pytorch_half_pixel" if after[1..3].iter().all(|size| *size != Some(1)) => {
            Ok(Places::Halves)
        }
        "asymmetric" => Ok(Places::Begins),
        other => {
            let reason = format!("coordinate transformation '{other}'");
            Err(refused(reason, "resize with half_pixel, align_corners or asymmetric"))
        }
    }
}

/// The scales that a node states, of the two dimensions of space.
fn scales(cx: &Writer<'_>, node: &Node) -> Option<[f64; 2]> {
    let scales = cx.facts.floats(node, 2).filter(|scales| !scales.is_empty())?;
    let axes = node.ints("axes").map_or_else(|| (0..4).collect::<Vec<i64>>(), <[i64]>::to_vec);
    let scale = |wanted: i64| {
        let index = axes.iter().position(|&axis| axis == wanted || axis + 4 == wanted);
        index.map_or(Some(1.0), |index| scales.get(index).map(|&scale| f64::from(scale)))
    };
    Some([scale(2)?, scale(3)?])
}

/// TensorFlow Lite goes by the sizes: stated scales must be the same.
fn check_scales(cx: &Writer<'_>, node: &Node, axes: &[[usize; 2]]) -> Result<(), Stop> {
    let Some(scales) = scales(cx, node) else { return Ok(()) };
    if node.string("coordinate_transformation_mode") == Some("align_corners") {
        return Ok(());
    }
    for (scale, [before, after]) in scales.iter().zip(axes) {
        let real = *after as f64 / *before as f64;
        if (real - scale).abs() > 1e-5 * scale.abs() {
            let reason = format!("a scale of {scale} from {before} to {after}");
            return Err(refused(reason, "resize to sizes instead of by scales"));
        }
    }
    Ok(())
}

fn sizes(
    cx: &mut Writer<'_>,
    node: &Node,
    value: Id,
    axes: Option<Vec<[usize; 2]>>,
) -> Result<Id, Stop> {
    if let Some(axes) = axes {
        let sizes: Vec<i32> = axes.iter().map(|[_, after]| *after as i32).collect();
        return Ok(cx.list(&sizes));
    }
    let scales = scales(cx, node).filter(|scales| scales.iter().all(|scale| scale.fract() == 0.0));
    let scales = scales.ok_or_else(|| {
        let way_out = "give the model inputs of a fixed shape (`modelyard convert --shape`)";
        refused("images of open size and scales that are not whole", way_out)
    })?;
    let whole = cx.sizes_of(value);
    let lists = [cx.list(&[1]), cx.list(&[3]), cx.list(&[1])];
    let space = cx.typed("space", INT32, &[Some(2)]);
    let inputs = [Some(whole), Some(lists[0]), Some(lists[1]), Some(lists[2])];
    cx.with("STRIDED_SLICE", &inputs, &[space], Some(options::strided_slice(0, 0)));
    let scales = cx.list(&[scales[0] as i32, scales[1] as i32]);
    let sizes = cx.typed("sizes", INT32, &[Some(2)]);
    cx.arithmetic("MUL", &[space, scales], sizes);
    Ok(sizes)
}

/// Of each row and column of the result: which one of the image. What TensorFlow Lite gathers in the
/// same way is one operator, else two.
fn nearest(
    cx: &mut Writer<'_>,
    node: &Node,
    places: Places,
    (value, made): (Id, Id),
    axes: &[[usize; 2]],
) -> Result<(), Stop> {
    let stated = scales(cx, node).unwrap_or([0.0, 0.0]);
    let rounding = node.string("nearest_mode").unwrap_or("round_prefer_floor");
    let wanted: Vec<Vec<usize>> = axes
        .iter()
        .zip(stated)
        .map(|(&sizes, scale)| {
            (0..sizes[1]).map(|place| onnx(place, sizes, (places, scale), rounding)).collect()
        })
        .collect();
    for kind in [Places::Begins, Places::Halves, Places::Corners] {
        let same = axes.iter().zip(&wanted).all(|(&sizes, wanted)| {
            wanted.iter().enumerate().all(|(place, &from)| tflite(place, sizes, kind) == from)
        });
        if same {
            let sizes = cx.list(&[axes[0][1] as i32, axes[1][1] as i32]);
            let (corners, halves) = (kind == Places::Corners, kind == Places::Halves);
            let options = options::resize_nearest(corners, halves);
            let inputs = [Some(value), Some(sizes)];
            cx.with("RESIZE_NEAREST_NEIGHBOR", &inputs, &[made], Some(options));
            return Ok(());
        }
    }
    let mut dims = cx.tensor(value).dims.clone();
    let list = |wanted: &[usize]| wanted.iter().map(|&place| place as i32).collect::<Vec<i32>>();
    let rows = cx.list(&list(&wanted[0]));
    dims[1] = Some(wanted[0].len());
    let between = cx.between("GATHER", value, &dims);
    cx.with("GATHER", &[Some(value), Some(rows)], &[between], Some(options::gather(1)));
    let columns = cx.list(&list(&wanted[1]));
    cx.with("GATHER", &[Some(between), Some(columns)], &[made], Some(options::gather(2)));
    Ok(())
}

/// The place that ONNX takes.
fn onnx(
    place: usize,
    [before, after]: [usize; 2],
    (places, scale): (Places, f64),
    rounding: &str,
) -> usize {
    let scale = if scale > 0.0 { scale } else { after as f64 / before as f64 };
    let place = place as f64;
    let exact = match places {
        Places::Corners if after > 1 => place * (before as f64 - 1.0) / (after as f64 - 1.0),
        Places::Corners => 0.0,
        Places::Halves => (place + 0.5) / scale - 0.5,
        Places::Begins => place / scale,
    };
    let whole = match rounding {
        "floor" => exact.floor(),
        "ceil" => exact.ceil(),
        "round_prefer_ceil" => (exact + 0.5).floor(),
        _ => (exact - 0.5).ceil(),
    };
    whole.clamp(0.0, before as f64 - 1.0) as usize
}

/// The place that TensorFlow Lite takes, in the precision that it computes it with.
fn tflite(place: usize, [before, after]: [usize; 2], kind: Places) -> usize {
    let scale = match kind {
        Places::Corners if after > 1 => (before as f32 - 1.0) / (after as f32 - 1.0),
        _ => before as f32 / after as f32,
    };
    let place = place as f32;
    let whole = match kind {
        Places::Corners => (place * scale).round(),
        Places::Halves => ((place + 0.5) * scale).floor(),
        Places::Begins => (place * scale).floor(),
    };
    whole.clamp(0.0, before as f32 - 1.0) as usize
}
