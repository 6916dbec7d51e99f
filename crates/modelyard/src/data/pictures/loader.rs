//! Pictures in a common form, from memory or from their files.

use std::path::{Path, PathBuf};

use anyhow::Context;
use modelyard_tensor::Shape;
use modelyard_train::Array;
use modelyard_train::data::{Batch, DataError, Examples, Targets};

use super::super::arrays::unit;
use super::super::parallel;
use crate::tensors::{image, read_file};

/// What all pictures are made to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// 1 (grey) or 3 (red, green, blue).
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Form {
    /// The shape of one example.
    pub(super) fn shape(self) -> Shape {
        [self.channels, self.height, self.width].into()
    }

    /// Numbers in one example.
    pub(super) fn len(self) -> usize {
        self.channels * self.height * self.width
    }

    /// The pixels of a file, channel after channel.
    pub(super) fn decode(self, path: &Path) -> anyhow::Result<Vec<u8>> {
        let side = |side: usize| u32::try_from(side).context("the picture is too large");
        let size = (side(self.width)?, side(self.height)?);
        let layout = match self.channels {
            1 => image::Layout::Grey,
            _ => image::Layout::ChannelsFirst,
        };
        let picture = image::read(&read_file(path)?)?;
        Ok(image::pixels(&picture, size, layout, false))
    }
}

/// One picture.
pub(super) struct Picture {
    pub(super) path: PathBuf,
    pub(super) class: usize,
    /// Its pixels, where they are kept.
    pub(super) kept: Option<Vec<u8>>,
}

/// Pictures as examples.
pub(super) struct Pictures {
    pub(super) form: Form,
    pub(super) pictures: Vec<Picture>,
    /// Whether their classes mean anything.
    pub(super) labelled: bool,
}

impl Pictures {
    /// The pixels of picture `number`, 0 to 1.
    fn pixels(&self, number: usize) -> Result<Vec<f32>, DataError> {
        let picture = &self.pictures[number];
        let scaled = |pixels: &[u8]| pixels.iter().map(|&pixel| unit(pixel)).collect();
        if let Some(pixels) = &picture.kept {
            return Ok(scaled(pixels));
        }
        // It was good when all were checked: since then the file has changed.
        let decoded = self.form.decode(&picture.path);
        decoded.map(|pixels| scaled(&pixels)).map_err(|error| {
            DataError(format!("failed to use '{}': {error:#}", picture.path.display()))
        })
    }
}

impl Examples for Pictures {
    fn len(&self) -> usize {
        self.pictures.len()
    }

    fn load(&self, numbers: &[usize]) -> Result<Batch, DataError> {
        let mut floats = Vec::new();
        let kept = numbers.iter().all(|&number| self.pictures[number].kept.is_some());
        let decoded = match kept {
            true => numbers.iter().map(|&number| self.pixels(number)).collect(),
            false => parallel::map(numbers.len(), |index| self.pixels(numbers[index])),
        };
        for pixels in decoded {
            floats.extend(pixels?);
        }
        let Form { channels, height, width } = self.form;
        let images = Array::floats([numbers.len(), channels, height, width], floats);
        let classes = numbers.iter().map(|&number| self.pictures[number].class);
        Ok(Batch {
            inputs: vec![("image".to_owned(), images)],
            targets: match self.labelled {
                true => Targets::Classes(classes.collect()),
                false => Targets::Unknown,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::Files;
    use super::*;

    #[test]
    fn a_file_that_turns_bad_later_is_named() {
        let files = Files::new().file("x.pgm", b"P5 2 1 255 \x00\xff");
        let form = Form { channels: 1, height: 1, width: 2 };
        let picture = Picture { path: files.path("x.pgm"), class: 3, kept: None };
        let pictures = Pictures { form, pictures: vec![picture], labelled: true };
        let batch = pictures.load(&[0]).unwrap();
        assert_eq!(batch.inputs[0].1.as_floats().unwrap(), [0.0, 1.0]);
        assert_eq!(batch.targets, Targets::Classes(vec![3]));
        let _files = files.file("x.pgm", b"gone");
        let error = pictures.load(&[0]).unwrap_err().to_string();
        assert!(error.contains("x.pgm': not a PNG, JPEG or PGM picture"), "{error}");
    }
}
