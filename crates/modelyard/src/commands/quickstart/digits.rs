//! The model and the handwritten digits inside this binary, from `examples/digits/`.

use anyhow::{Context, bail};

use crate::data::{DataSet, idx_folder};
use crate::tensors::idx::Idx;

/// The model: 784-128-ReLU-10-softmax.
pub(super) const MODEL: &[u8] = include_bytes!("../../../../../examples/digits/digits.onnx");
/// What it was made of, by `modelyard train`.
pub(super) const SPEC: &str = include_str!("../../../../../examples/digits/training.toml");
/// Where all of this is in the repository.
pub(super) const FOLDER: &str = "examples/digits";

const IMAGES: &[u8] = include_bytes!("../../../../../examples/digits/test-images-idx3-ubyte.gz");
const LABELS: &[u8] = include_bytes!("../../../../../examples/digits/test-labels-idx1-ubyte.gz");
const TRAINING_IMAGES: &[u8] =
    include_bytes!("../../../../../examples/digits/train-images-idx3-ubyte.gz");
const TRAINING_LABELS: &[u8] =
    include_bytes!("../../../../../examples/digits/train-labels-idx1-ubyte.gz");

/// Width and height of a digit.
const SIDE: usize = 28;

/// The digits to train on, with those of the test split to measure by.
pub(super) fn training_data() -> anyhow::Result<DataSet> {
    idx_folder::in_memory((TRAINING_IMAGES, TRAINING_LABELS), (IMAGES, LABELS))
        .context("failed to read the digits")
}

/// Digits that the model has not seen in training.
pub(super) struct Digits {
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

impl Digits {
    /// Unpacks the test split.
    pub(super) fn test() -> anyhow::Result<Digits> {
        let images = Idx::read_gzip(IMAGES).context("failed to read the digits")?;
        let labels = Idx::read_gzip(LABELS).context("failed to read the labels")?;
        match (images.dims.as_slice(), labels.dims.as_slice()) {
            ([count, SIDE, SIDE], [others]) if count == others => {
                Ok(Digits { pixels: images.data, labels: labels.data })
            }
            (images, labels) => bail!("digits {images:?} and labels {labels:?} disagree"),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    /// What digit number `index` is.
    pub(super) fn label(&self, index: usize) -> usize {
        usize::from(self.labels[index])
    }

    /// The pixels of a digit, 0 (background) to 1 (ink).
    pub(super) fn image(&self, index: usize) -> Vec<f32> {
        self.pixels(index).iter().map(|&pixel| f32::from(pixel) / 255.0).collect()
    }

    fn pixels(&self, index: usize) -> &[u8] {
        &self.pixels[index * SIDE * SIDE..][..SIDE * SIDE]
    }

    /// A digit as lines of text: the middle 20x20 pixels, two above each other in one character.
    pub(super) fn drawing(&self, index: usize) -> Vec<String> {
        const INK: [char; 6] = [' ', '.', ':', 'o', '#', '@'];
        const MARGIN: usize = 4;
        let pixels = self.pixels(index);
        let ink = |row: usize, column: usize| {
            let two = [row, row + 1].map(|row| usize::from(pixels[row * SIDE + column]));
            INK[(two[0] + two[1]) * (INK.len() - 1) / 510]
        };
        (MARGIN..SIDE - MARGIN)
            .step_by(2)
            .map(|row| (MARGIN..SIDE - MARGIN).map(|column| ink(row, column)).collect())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_two_hundred_of_each_class() {
        let digits = Digits::test().unwrap();
        assert_eq!(digits.len(), 2000);
        let mut counts = [0; 10];
        (0..digits.len()).for_each(|index| counts[digits.label(index)] += 1);
        assert_eq!(counts, [200; 10]);
        assert!(digits.image(0).iter().any(|&pixel| pixel > 0.9));
    }

    #[test]
    fn a_one_is_drawn_upright() {
        let digits = Digits::test().unwrap();
        let one = (0..10).find(|&index| digits.label(index) == 1).unwrap();
        let drawing = digits.drawing(one);
        assert_eq!((drawing.len(), drawing[0].len()), (10, 20));
        let inked = drawing.iter().filter(|line| line.contains(['o', '#', '@'])).count();
        assert!(inked >= 8, "{drawing:#?}");
    }
}
