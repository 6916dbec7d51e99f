//! The real digits of `examples/digits`, for tests of commands that take them.

use std::io::Read;
use std::path::PathBuf;

/// The folder with the model and the digits.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/digits")
}

/// The model, as an argument.
pub(crate) fn model() -> String {
    folder().join("digits.onnx").display().to_string()
}

/// The first test digits: pixels (28x28) and what they are. They come in turns, 0 to 9.
pub(crate) fn first(count: usize) -> Vec<(Vec<u8>, u8)> {
    const HEADER: usize = 16;
    const PIXELS: usize = 28 * 28;
    let images = unpacked("test-images-idx3-ubyte.gz");
    let labels = unpacked("test-labels-idx1-ubyte.gz");
    let images = images[HEADER..].chunks_exact(PIXELS).map(<[u8]>::to_vec);
    images.zip(labels[8..].iter().copied()).take(count).collect()
}

fn unpacked(name: &str) -> Vec<u8> {
    let file = std::fs::File::open(folder().join(name)).unwrap();
    let mut data = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut data).unwrap();
    data
}

/// A picture of a digit as others draw it: PGM, black on white or white on black.
pub(crate) fn picture(pixels: &[u8], black_on_white: bool) -> Vec<u8> {
    let shown = |pixel: &u8| if black_on_white { 255 - pixel } else { *pixel };
    let mut file = b"P5 28 28 255\n".to_vec();
    file.extend(pixels.iter().map(shown));
    file
}

/// The pixels of a digit as JSON.
pub(crate) fn json(pixels: &[u8]) -> String {
    let numbers: Vec<String> =
        pixels.iter().map(|&pixel| (f32::from(pixel) / 255.0).to_string()).collect();
    format!("[{}]", numbers.join(","))
}
