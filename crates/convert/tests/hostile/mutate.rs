//! What is done to a file: the same for the same random numbers.

use std::io::{Cursor, Read, Write};

use fastrand::Rng;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// Numbers at which sizes, counts and offsets go wrong.
const NUMBERS: [i64; 14] = [
    0,
    1,
    -1,
    -2,
    127,
    255,
    65_535,
    i32::MAX as i64,
    i32::MIN as i64,
    u32::MAX as i64,
    1 << 40,
    1 << 62,
    i64::MAX,
    i64::MIN,
];

/// Damages `bytes`. An entry of an archive is damaged behind right checksums as often as the
/// archive itself: else nothing would come past them.
pub(crate) fn damaged(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    if bytes.starts_with(b"PK") && rng.u8(..4) != 0 {
        return damaged_entry(bytes, rng);
    }
    let mut bytes = bytes.to_vec();
    for _ in 0..rng.usize(1..=3) {
        damage(&mut bytes, rng);
    }
    bytes
}

/// The archive with one of its entries damaged.
fn damaged_entry(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut written = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let chosen = rng.usize(..archive.len());
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        written.start_file(entry.name().unwrap(), stored).unwrap();
        if index == chosen {
            damage(&mut content, rng);
        }
        written.write_all(&content).unwrap();
    }
    written.finish().unwrap().into_inner()
}

fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    if bytes.is_empty() {
        return bytes.push(rng.u8(..));
    }
    let is_text = std::str::from_utf8(bytes).is_ok();
    match rng.u8(..if is_text { 10 } else { 6 }) {
        0 => bytes.truncate(rng.usize(..bytes.len())),
        1 => flip(bytes, rng),
        2 => splice(bytes, rng),
        3 => cut_out(bytes, rng),
        4 => lie(bytes, rng),
        5 => lie_in_varint(bytes, rng),
        6 | 7 => lie_in_digits(bytes, rng),
        _ => swap_words(bytes, rng),
    }
}

/// A few bits turned over.
fn flip(bytes: &mut [u8], rng: &mut Rng) {
    for _ in 0..rng.usize(1..=8) {
        let at = rng.usize(..bytes.len());
        bytes[at] ^= 1 << rng.u8(..8);
    }
}

/// A piece of the file again, at another place of it.
fn splice(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let (start, length) = piece(bytes, rng);
    let copied = bytes[start..start + length].to_vec();
    let at = rng.usize(..=bytes.len());
    bytes.splice(at..at, copied);
}

/// A piece of the file gone.
fn cut_out(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let (start, length) = piece(bytes, rng);
    bytes.drain(start..start + length);
}

fn piece(bytes: &[u8], rng: &mut Rng) -> (usize, usize) {
    let start = rng.usize(..bytes.len());
    (start, rng.usize(..=(bytes.len() - start).min(64)))
}

/// A number of a fixed size overwritten with one that is wrong.
fn lie(bytes: &mut [u8], rng: &mut Rng) {
    let number = number(rng).to_le_bytes();
    let size = [1, 2, 4, 8][rng.usize(..4)].min(bytes.len());
    let start = rng.usize(..=bytes.len() - size);
    bytes[start..start + size].copy_from_slice(&number[..size]);
}

/// A number of protobuf's, which has as many bytes as it needs, in the place of a byte.
fn lie_in_varint(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let mut number = number(rng) as u64;
    let mut varint = Vec::new();
    while number >= 0x80 {
        varint.push(number as u8 | 0x80);
        number >>= 7;
    }
    varint.push(number as u8);
    let at = rng.usize(..bytes.len());
    bytes.splice(at..=at, varint);
}

/// A number of a text replaced.
fn lie_in_digits(bytes: &mut Vec<u8>, rng: &mut Rng) {
    if let Some((start, end)) = run(bytes, rng, u8::is_ascii_digit) {
        bytes.splice(start..end, number(rng).to_string().into_bytes());
    }
}

/// A word of a text in the place of another: an operator, a name, a key.
fn swap_words(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.".contains(byte);
    let Some((start, end)) = run(bytes, rng, is_word) else { return };
    let word = bytes[start..end].to_vec();
    if let Some((start, end)) = run(bytes, rng, is_word) {
        bytes.splice(start..end, word);
    }
}

/// A run of such bytes, somewhere.
fn run(bytes: &[u8], rng: &mut Rng, is_part: impl Fn(&u8) -> bool) -> Option<(usize, usize)> {
    let from = rng.usize(..bytes.len());
    let start = from + bytes[from..].iter().position(&is_part)?;
    let length = bytes[start..].iter().position(|byte| !is_part(byte));
    Some((start, length.map_or(bytes.len(), |length| start + length)))
}

fn number(rng: &mut Rng) -> i64 {
    NUMBERS[rng.usize(..NUMBERS.len())]
}
