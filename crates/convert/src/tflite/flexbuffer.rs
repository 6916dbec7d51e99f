//! FlexBuffers, as far as custom operators use them: a map of names to numbers.
//!
//! The root stands at the end: its value, its type, the width of the value. Offsets lead backwards.

use std::collections::HashMap;

/// Numbers by name.
pub(crate) type Fields = HashMap<String, f64>;

/// Entries of a map at most.
const ENTRIES_MAX: usize = 1 << 10;
/// Bytes of a name at most.
const NAME_MAX: usize = 1 << 8;

const MAP: u8 = 9;

/// The numbers of a map; `None` where the bytes are none. Entries that are no numbers are left out.
pub(crate) fn map(bytes: &[u8]) -> Option<Fields> {
    let [head @ .., packed, width] = bytes else { return None };
    let width = usize::from(*width);
    let at = head.len().checked_sub(width)?;
    if packed >> 2 != MAP {
        return None;
    }
    let values = follow(bytes, at, width)?;
    let width = 1usize << (packed & 3);
    // Before the values: where the keys are, how wide their offsets are, how many there are.
    let field = |back: usize| values.checked_sub(back.checked_mul(width)?);
    let count = usize::try_from(unsigned(bytes, field(1)?, width)?).ok()?;
    let key_width = usize::try_from(unsigned(bytes, field(2)?, width)?).ok()?;
    let keys = follow(bytes, field(3)?, width)?;
    if count > ENTRIES_MAX || !matches!(key_width, 1 | 2 | 4 | 8) {
        return None;
    }
    let mut fields = Fields::new();
    for index in 0..count {
        let name = name(bytes, follow(bytes, keys.checked_add(index * key_width)?, key_width)?)?;
        let at = values.checked_add(index * width)?;
        let packed = *bytes.get(values.checked_add(count * width)?.checked_add(index)?)?;
        if let Some(number) = number(bytes, at, width, packed) {
            fields.insert(name, number);
        }
    }
    Some(fields)
}

/// Where the offset at `at` leads.
fn follow(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    let back = usize::try_from(unsigned(bytes, at, width)?).ok()?;
    at.checked_sub(back)
}

fn unsigned(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let found = bytes.get(at..at.checked_add(width)?)?;
    let mut whole = [0; 8];
    whole.get_mut(..width)?.copy_from_slice(found);
    Some(u64::from_le_bytes(whole))
}

fn name(bytes: &[u8], at: usize) -> Option<String> {
    let found = bytes.get(at..)?;
    let end = found.iter().take(NAME_MAX).position(|&byte| byte == 0)?;
    Some(String::from_utf8_lossy(&found[..end]).into_owned())
}

/// A number of a type, which stands here or where an offset leads.
fn number(bytes: &[u8], at: usize, width: usize, packed: u8) -> Option<f64> {
    let kind = packed >> 2;
    // Numbers that are stored elsewhere say how wide they are.
    let (at, width) = match kind {
        6..=8 => (follow(bytes, at, width)?, 1usize << (packed & 3)),
        _ => (at, width),
    };
    let raw = unsigned(bytes, at, width)?;
    match kind {
        // Signed: the sign is that of the width.
        1 | 6 => {
            let unused = 64 - 8 * u32::try_from(width).ok()?;
            Some(((raw << unused) as i64 >> unused) as f64)
        }
        2 | 7 | 26 => Some(raw as f64),
        3 | 8 => match width {
            4 => Some(f32::from_bits(u32::try_from(raw).ok()?).into()),
            8 => Some(f64::from_bits(raw)),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"a": -3, "b": 0.5, "c": true}`, as the library writes it.
    const SAMPLE: &[u8] = &[
        b'a', 0, b'b', 0, b'c', 0, // names
        3, 7, 6, 5, 0, 0, // three keys, each by its offset
        5, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, // keys, their width, how many
        253, 255, 255, 255, 0, 0, 0, 63, 1, 0, 0, 0, // values
        6, 14, 106, // types
        15, 38, 1, // the root
    ];

    #[test]
    fn numbers_are_found_by_name() {
        let fields = map(SAMPLE).unwrap();
        assert_eq!(fields.get("a"), Some(&-3.0));
        assert_eq!(fields.get("b"), Some(&0.5));
        assert_eq!(fields.get("c"), Some(&1.0));
        assert_eq!(fields.len(), 3);
    }

    #[test]
    fn no_cut_or_change_panics() {
        for end in 0..SAMPLE.len() {
            let _ = map(&SAMPLE[..end]);
        }
        for index in 0..SAMPLE.len() {
            for value in [0, 1, 4, 127, 255] {
                let mut bytes = SAMPLE.to_vec();
                bytes[index] = value;
                let _ = map(&bytes);
            }
        }
    }
}
