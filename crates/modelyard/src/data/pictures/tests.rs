use ::image::{DynamicImage, ImageFormat, RgbImage};

use super::super::testing::{Files, classes, floats};
use super::*;

const DARK: &[u8] = b"P5 2 1 255 \x00\x33";
const BRIGHT: &[u8] = b"P5 2 1 255 \xff\xff";

fn colour(width: u32, height: u32) -> Vec<u8> {
    let picture = RgbImage::from_fn(width, height, |_, _| ::image::Rgb([255, 0, 51]));
    let mut file = std::io::Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(picture).write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

fn open_default(files: &Files) -> anyhow::Result<DataSet> {
    DataSet::open(&files.path(""), &Options::default())
}

fn labels(data: &DataSet) -> Vec<String> {
    match &data.task {
        Task::Classification { labels } => labels.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn folders_are_classes_in_numeric_order() {
    let files = Files::new()
        .file("10/a.pgm", BRIGHT)
        .file("9/b.pgm", DARK)
        .file("9/.hidden", "x")
        .file("README.md", "x");
    let data = open_default(&files).unwrap();
    assert_eq!(labels(&data), ["9", "10"]);
    assert_eq!(data.inputs[0].shape.dims(), [1, 1, 2]);
    assert_eq!(classes(&*data.train), [1, 0]);
    assert_eq!(floats(&*data.train), [1.0, 1.0, 0.0, 0.2]);
    assert!(data.test.is_none());
}

#[test]
fn parts_are_folders_above_the_classes() {
    let files = Files::new()
        .file("train/a/1.pgm", DARK)
        .file("val/b/1.pgm", BRIGHT)
        .file("train/b/1.pgm", BRIGHT);
    let data = open_default(&files).unwrap();
    assert_eq!(labels(&data), ["a", "b"]);
    assert_eq!(classes(&*data.train), [0, 1]);
    assert_eq!(classes(&*data.test.unwrap()), [1]);
}

#[test]
fn a_class_may_be_called_train_and_a_part_may_be_alone() {
    let vehicles = Files::new().file("train/1.pgm", DARK).file("plane/1.pgm", BRIGHT);
    assert_eq!(labels(&open_default(&vehicles).unwrap()), ["plane", "train"]);
    let alone = Files::new().file("test/a/1.pgm", DARK).file("test/b/1.pgm", BRIGHT);
    assert_eq!(labels(&open_default(&alone).unwrap()), ["a", "b"]);
}

#[test]
fn pictures_without_folders_have_no_classes() {
    let files = Files::new().file("1.pgm", DARK).file("2.PGM", BRIGHT).file("notes.txt", "x");
    let data = open_default(&files).unwrap();
    assert_eq!((data.train.len(), &data.task, &data.classes), (2, &Task::Unlabelled, &None));
}

#[test]
fn one_colour_picture_makes_all_colour_and_the_first_decides_the_size() {
    let files = Files::new().file("a/1.pgm", DARK).file("a/2.png", colour(4, 4));
    let data = open_default(&files).unwrap();
    assert_eq!(data.inputs[0].shape.dims(), [3, 1, 2]);
    let pixels = floats(&*data.train);
    assert_eq!(pixels[6..], [1.0, 1.0, 0.0, 0.0, 0.2, 0.2]);
    let options =
        Options { image_size: Some((2, 3)), image_channels: Some(1), ..Options::default() };
    let data = DataSet::open(&files.path(""), &options).unwrap();
    assert_eq!(data.inputs[0].shape.dims(), [1, 2, 3]);
}

#[test]
fn bad_pictures_are_found_at_the_start() {
    let whole = colour(8, 8);
    let files = Files::new()
        .file("a/1.pgm", DARK)
        .file("a/cut.png", &whole[..whole.len() - 20])
        .file("b/notes.txt", "x")
        .file("b/more/1.pgm", DARK);
    let error = format!("{:#}", open_default(&files).err().unwrap());
    assert!(error.contains("3 entries cannot be used"), "{error}");
    assert!(error.contains("a/cut.png: failed to decode the picture"), "{error}");
    assert!(error.contains("b/notes.txt: not a PNG, JPEG or PGM picture"), "{error}");
    assert!(error.contains("expected a picture, found a folder"), "{error}");
    let options = Options { skip_bad: true, ..Options::default() };
    let data = DataSet::open(&files.path(""), &options).unwrap();
    assert_eq!((data.train.len(), data.skipped.len()), (1, 3));
}
