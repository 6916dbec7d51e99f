//! Pictures as tensors.
//!
//! The model's input says what is wanted, leaving the batch dimension aside:
//!
//! | shape | picture |
//! |---|---|
//! | `[H*H]`, such as `[784]` | H×H grey |
//! | `[H,W]`, `[1,H,W]`, `[H,W,1]` | H×W grey |
//! | `[3,H,W]`, `[H,W,3]` | H×W red, green, blue |
//!
//! A free H or W takes the picture's own. The picture is resized to H×W (its aspect ratio is not
//! kept) and scaled to 0..1, or left at 0..255 for `UINT8`. Bright is high: digits are expected
//! white on black, and `invert` turns black on white around. What is transparent counts as
//! background: black, or white before it is inverted.

use std::io::Cursor;

use anyhow::{Context, bail};
use half::f16;
use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};
use modelyard_tensor::{DataType, Dim, Shape, Tensor, TensorSpec};

/// Most pixels along one side of a picture.
const SIDE_MAX: u32 = 16_384;
/// Most bytes a decoder may take.
const DECODED_BYTES_MAX: u64 = 512 << 20;

/// Whether bytes begin like a picture that can be read.
pub(crate) fn is_image(file: &[u8]) -> bool {
    format(file).is_some()
}

fn format(file: &[u8]) -> Option<ImageFormat> {
    let format = image::guess_format(file).ok()?;
    matches!(format, ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::Pnm).then_some(format)
}

/// What a picture says about itself before its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Pixels from top to bottom.
    pub(crate) height: u32,
    /// Pixels from left to right.
    pub(crate) width: u32,
    /// Whether it has no colour.
    pub(crate) grey: bool,
}

/// Reads the header of a PNG, JPEG or PGM/PPM picture.
pub(crate) fn header(file: &[u8]) -> anyhow::Result<Header> {
    let decoder = reader(file)?.into_decoder().context("failed to read the picture's header")?;
    let (width, height) = decoder.dimensions();
    Ok(Header { height, width, grey: !decoder.color_type().has_color() })
}

/// Reads a PNG, JPEG or PGM/PPM picture.
pub(crate) fn read(file: &[u8]) -> anyhow::Result<DynamicImage> {
    reader(file)?.decode().context("failed to decode the picture")
}

fn reader(file: &[u8]) -> anyhow::Result<ImageReader<Cursor<&[u8]>>> {
    let format = format(file).context("not a PNG, JPEG or PGM picture")?;
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(DECODED_BYTES_MAX);
    reader.limits(limits);
    Ok(reader)
}

/// Where the channels of a picture stand in a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One channel.
    Grey,
    /// All of red, then green, then blue.
    ChannelsFirst,
    /// Red, green and blue of each pixel.
    ChannelsLast,
}

/// What picture an input wants; a side of `None` is free.
struct Wanted {
    height: Option<usize>,
    width: Option<usize>,
    layout: Layout,
    /// The tensor's shape once the sides are known.
    dims: fn(usize, usize) -> Shape,
}

/// The tensor, with a batch of one, that `picture` is to the input `spec`.
pub(crate) fn tensor(
    picture: &DynamicImage,
    spec: &TensorSpec,
    invert: bool,
) -> anyhow::Result<Tensor> {
    let (wanted, batched) = wanted(spec).with_context(|| {
        format!(
            "input '{}' of shape {} takes no picture: expected [batch,H*H], [batch,H,W], or 1 or \
             3 channels with H and W",
            spec.name,
            spec.shape_text()
        )
    })?;
    let own = |side: u32| side as usize;
    let height = wanted.height.unwrap_or(own(picture.height()));
    let width = wanted.width.unwrap_or(own(picture.width()));
    let (Ok(rows), Ok(columns)) = (u32::try_from(height), u32::try_from(width)) else {
        bail!("input '{}' is too large for a picture: {height}x{width}", spec.name);
    };
    if rows == 0 || columns == 0 || rows.max(columns) > SIDE_MAX {
        bail!("input '{}' wants a picture of {height}x{width}, not 1 to {SIDE_MAX}", spec.name);
    }
    let pixels = pixels(picture, (columns, rows), wanted.layout, invert);
    let mut shape = (wanted.dims)(height, width);
    if batched {
        shape = [1].into_iter().chain(shape.iter().copied()).collect();
    }
    scaled(pixels, spec, shape)
}

/// Height, width and channels of the pictures that an input takes; a side of `None` is free.
pub(crate) fn size(spec: &TensorSpec) -> Option<(Option<usize>, Option<usize>, usize)> {
    let (wanted, _) = wanted(spec)?;
    let channels = if wanted.layout == Layout::Grey { 1 } else { 3 };
    Some((wanted.height, wanted.width, channels))
}

/// The pixels as bytes, in the layout's order.
pub(crate) fn pixels(
    picture: &DynamicImage,
    (width, height): (u32, u32),
    layout: Layout,
    invert: bool,
) -> Vec<u8> {
    let mut flat = flattened(picture, if invert { 255 } else { 0 });
    if (flat.width(), flat.height()) != (width, height) {
        flat = imageops::resize(&flat, width, height, FilterType::Triangle);
    }
    let mut pixels = match layout {
        Layout::Grey => DynamicImage::ImageRgb8(flat).to_luma8().into_raw(),
        Layout::ChannelsLast => flat.into_raw(),
        Layout::ChannelsFirst => {
            let raw = flat.into_raw();
            (0..3).flat_map(|channel| raw.iter().skip(channel).step_by(3).copied()).collect()
        }
    };
    if invert {
        pixels.iter_mut().for_each(|pixel| *pixel = 255 - *pixel);
    }
    pixels
}

/// The picture without transparency, laid over a grey `background`.
fn flattened(picture: &DynamicImage, background: u8) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.to_rgb8();
    }
    let rgba = picture.to_rgba8();
    let mut flat = RgbImage::new(rgba.width(), rgba.height());
    for (to, from) in flat.pixels_mut().zip(rgba.pixels()) {
        let alpha = u32::from(from[3]);
        for channel in 0..3 {
            let mixed = u32::from(from[channel]) * alpha + u32::from(background) * (255 - alpha);
            to[channel] = (mixed / 255) as u8;
        }
    }
    flat
}

fn scaled(pixels: Vec<u8>, spec: &TensorSpec, shape: Shape) -> anyhow::Result<Tensor> {
    let unit = |pixel: u8| f32::from(pixel) / 255.0;
    Ok(match spec.data_type {
        DataType::Uint8 => Tensor::from_vec(shape, pixels)?,
        DataType::Fp32 => Tensor::from_vec(shape, pixels.into_iter().map(unit).collect())?,
        DataType::Fp64 => {
            Tensor::from_vec(shape, pixels.into_iter().map(|p| f64::from(p) / 255.0).collect())?
        }
        DataType::Fp16 => {
            let halves = pixels.into_iter().map(|pixel| f16::from_f32(unit(pixel))).collect();
            Tensor::from_vec(shape, halves)?
        }
        other => bail!("input '{}' is {other}; pictures become UINT8 or floats", spec.name),
    })
}

/// What picture the input wants, and whether its first dimension is the batch.
fn wanted(spec: &TensorSpec) -> Option<(Wanted, bool)> {
    let dims = spec.dims.as_deref()?;
    // A leading free dimension, or a one before what already looks like a picture, is the batch.
    if let Some((first, rest)) = dims.split_first()
        && (first.is_free() || *first == Dim::Fixed(1))
        && let Some(wanted) = layout(rest)
    {
        return Some((wanted, true));
    }
    layout(dims).map(|wanted| (wanted, false))
}

fn layout(dims: &[Dim]) -> Option<Wanted> {
    const ONE: Dim = Dim::Fixed(1);
    const THREE: Dim = Dim::Fixed(3);
    let side = |dim: &Dim| match dim {
        Dim::Fixed(size) => Some(*size),
        _ => None,
    };
    let picture = |height: &Dim, width: &Dim, layout, dims| {
        Some(Wanted { height: side(height), width: side(width), layout, dims })
    };
    match dims {
        [Dim::Fixed(pixels)] => {
            let root = pixels.isqrt();
            let square = root > 1 && root * root == *pixels;
            square.then_some(Wanted {
                height: Some(root),
                width: Some(root),
                layout: Layout::Grey,
                dims: |h, w| [h * w].into(),
            })
        }
        [ONE, h, w] => picture(h, w, Layout::Grey, |h, w| [1, h, w].into()),
        [THREE, h, w] => picture(h, w, Layout::ChannelsFirst, |h, w| [3, h, w].into()),
        [h, w, ONE] => picture(h, w, Layout::Grey, |h, w| [h, w, 1].into()),
        [h, w, THREE] => picture(h, w, Layout::ChannelsLast, |h, w| [h, w, 3].into()),
        [h @ Dim::Fixed(_), w @ Dim::Fixed(_)] => picture(h, w, Layout::Grey, |h, w| [h, w].into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, Luma, Rgb, Rgba, RgbaImage};
    use proptest::prelude::*;

    fn spec(data_type: DataType, dims: &[i64]) -> TensorSpec {
        let dim = |&size: &i64| usize::try_from(size).map_or(Dim::Free, Dim::Fixed);
        let dims = Some(dims.iter().map(dim).collect());
        TensorSpec { name: "image".into(), data_type, dims }
    }

    fn grey(width: u32, height: u32) -> DynamicImage {
        let pixel = |x, y| Luma([(x * 10 + y) as u8]);
        DynamicImage::ImageLuma8(GrayImage::from_fn(width, height, pixel))
    }

    /// Shape and first elements (as 0..255) of a 4x4 picture, dark red over, for these dimensions.
    fn check(dims: &[i64], shape: &[usize], first: &[u8]) {
        let mut picture = RgbImage::from_pixel(4, 4, Rgb([100, 0, 0]));
        picture.put_pixel(0, 0, Rgb([255, 255, 255]));
        let picture = DynamicImage::ImageRgb8(picture);
        let tensor = tensor(&picture, &spec(DataType::Uint8, dims), false).unwrap();
        assert_eq!(tensor.shape().dims(), shape, "{dims:?}");
        assert_eq!(tensor.data()[..first.len()], *first, "{dims:?}");
    }

    #[test]
    fn the_input_decides_the_layout() {
        check(&[-1, 16], &[1, 16], &[255, 21]);
        check(&[16], &[16], &[255, 21]);
        check(&[1, 1, 4, 4], &[1, 1, 4, 4], &[255, 21]);
        check(&[-1, 4, 4, 1], &[1, 4, 4, 1], &[255, 21]);
        check(&[-1, 4, 4], &[1, 4, 4], &[255, 21]);
        check(&[-1, 4, 4, 3], &[1, 4, 4, 3], &[255, 255, 255, 100, 0, 0]);
        check(&[1, 3, -1, -1], &[1, 3, 4, 4], &[255, 100, 100]);
        check(&[-1, 3, 2, 2], &[1, 3, 2, 2], &[]);
    }

    #[test]
    fn pixels_become_zero_to_one_and_can_be_inverted() {
        let picture = grey(28, 28);
        let straight = tensor(&picture, &spec(DataType::Fp32, &[-1, 784]), false).unwrap();
        let values = straight.values::<f32>().unwrap();
        assert_eq!((values[0], values[1]), (0.0, 10.0 / 255.0));
        let inverted = tensor(&picture, &spec(DataType::Fp32, &[-1, 784]), true).unwrap();
        assert_eq!(inverted.values::<f32>().unwrap()[0], 1.0);
    }

    #[test]
    fn what_is_transparent_is_background() {
        let picture = DynamicImage::ImageRgba8(RgbaImage::from_pixel(2, 2, Rgba([9, 9, 9, 0])));
        for invert in [false, true] {
            let tensor = tensor(&picture, &spec(DataType::Uint8, &[1, 2, 2]), invert).unwrap();
            assert_eq!(tensor.data().as_ref(), [0; 4]);
        }
    }

    #[test]
    fn inputs_that_are_no_picture_are_refused() {
        let error = tensor(&grey(4, 4), &spec(DataType::Fp32, &[-1, 10]), false).unwrap_err();
        assert!(error.to_string().starts_with("input 'image' of shape [?,10] takes no picture"));
        let error = tensor(&grey(4, 4), &spec(DataType::Int64, &[-1, 16]), false).unwrap_err();
        assert_eq!(error.to_string(), "input 'image' is INT64; pictures become UINT8 or floats");
    }

    #[test]
    fn pictures_are_read_and_large_ones_refused() {
        assert_eq!(read(b"P5 2 1 255 \x07\x09").unwrap().to_luma8().into_raw(), [7, 9]);
        assert!(read(b"P5 900000 900000 255 ").is_err());
        assert!(read(b"GIF89a").is_err());
    }

    proptest! {
        #[test]
        fn damaged_pictures_are_read_or_refused(at in 0usize..500, byte: u8, png: bool) {
            let format = if png { ImageFormat::Png } else { ImageFormat::Jpeg };
            let mut file = Cursor::new(Vec::new());
            grey(8, 8).write_to(&mut file, format).unwrap();
            let mut file = file.into_inner();
            let length = file.len();
            file[at % length] = byte;
            let _ = read(&file);
            let _ = read(&file[..at % length]);
        }
    }
}
