//! The table format of LevelDB, in which `variables.index` comes: sorted keys with their values.
//!
//! A footer of 48 bytes points at the index block, that at the data blocks. A block is a run of
//! entries, each of which shares the beginning of its key with the entry before, and a list of
//! restart points. After each block come the kind of its compression and a checksum, which is not
//! looked at: weights are verified by running the model.

use bytes::Bytes;

use super::census::varint;

/// How tables end.
const MAGIC: u64 = 0xdb47_7524_8b80_fb57;

const FOOTER: usize = 48;

/// The kind of compression and the checksum.
const TRAILER: usize = 5;

/// Keys and values of a table, in its order. The error says what is wrong with it.
pub(super) fn read(bytes: &Bytes) -> Result<Vec<(Vec<u8>, Bytes)>, String> {
    let start =
        bytes.len().checked_sub(FOOTER).ok_or("it is shorter than the footer of a table")?;
    let footer = bytes.slice(start..);
    let magic = footer.last_chunk().map(|chunk| u64::from_le_bytes(*chunk));
    if magic != Some(MAGIC) {
        return Err("it does not end like a table of LevelDB (is the file truncated?)".into());
    }
    let (_, rest) = handle(&footer).ok_or("its footer is cut off")?;
    let (index, _) = handle(rest).ok_or("its footer is cut off")?;
    let mut entries = Vec::new();
    for (_, value) in block(bytes, index)? {
        let (data, _) = handle(&value).ok_or("its index names no block")?;
        entries.extend(block(bytes, data)?);
        // Blocks do not overlap, so all keys together are not longer than the restart points allow.
        if entries.len() > bytes.len() {
            return Err("it has more entries than bytes".into());
        }
    }
    Ok(entries)
}

/// Where a block lies, and what follows.
fn handle(bytes: &[u8]) -> Option<((u64, u64), &[u8])> {
    let (offset, rest) = varint(bytes)?;
    let (size, rest) = varint(rest)?;
    Some(((offset, size), rest))
}

fn block(bytes: &Bytes, (offset, size): (u64, u64)) -> Result<Vec<(Vec<u8>, Bytes)>, String> {
    let outside = || format!("a block of {size} bytes at {offset} lies outside of the file");
    let start = usize::try_from(offset).map_err(|_| outside())?;
    let end = usize::try_from(size).ok().and_then(|size| start.checked_add(size));
    let end = end.filter(|end| end.saturating_add(TRAILER) <= bytes.len()).ok_or_else(outside)?;
    match bytes.get(end) {
        Some(0) => {}
        Some(1) => return Err("a block is compressed with Snappy; save the model again".into()),
        _ => return Err("a block is compressed in a way that nobody knows".into()),
    }
    entries(bytes.slice(start..end))
}

fn entries(block: Bytes) -> Result<Vec<(Vec<u8>, Bytes)>, String> {
    let damaged = || "a block is damaged".to_owned();
    let restarts =
        block.last_chunk().map(|chunk| u32::from_le_bytes(*chunk)).ok_or_else(damaged)?;
    let tail =
        usize::try_from(restarts).ok().and_then(|count| count.checked_add(1)?.checked_mul(4));
    let end = tail.and_then(|tail| block.len().checked_sub(tail)).ok_or_else(damaged)?;
    let mut rest = block.slice(..end);
    let mut key: Vec<u8> = Vec::new();
    let mut found = Vec::new();
    let mut key_bytes = 0;
    while !rest.is_empty() {
        let entry = header(&rest).ok_or_else(damaged)?;
        if entry.shared > key.len() {
            return Err(damaged());
        }
        key.truncate(entry.shared);
        key.extend_from_slice(&rest[entry.key.clone()]);
        // Shared beginnings could make keys grow with the square of the block.
        key_bytes += key.len();
        if key_bytes > MAX_KEY_BYTES {
            return Err("its keys are too long".into());
        }
        found.push((key.clone(), rest.slice(entry.key.end..entry.end)));
        rest = rest.slice(entry.end..);
    }
    Ok(found)
}

/// Bytes that the keys of one block may have in all.
const MAX_KEY_BYTES: usize = 64 << 20;

/// Where the parts of an entry lie, all within its bytes.
struct Entry {
    shared: usize,
    key: std::ops::Range<usize>,
    end: usize,
}

fn header(bytes: &[u8]) -> Option<Entry> {
    let (shared, rest) = varint(bytes)?;
    let (unshared, rest) = varint(rest)?;
    let (value, rest) = varint(rest)?;
    let start = bytes.len() - rest.len();
    let middle = start.checked_add(usize::try_from(unshared).ok()?)?;
    let end = middle.checked_add(usize::try_from(value).ok()?)?;
    let shared = usize::try_from(shared).ok()?;
    (end <= bytes.len()).then_some(Entry { shared, key: start..middle, end })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table with one data block that holds `a` = `1` and `ab` = `2`.
    fn table() -> Vec<u8> {
        let mut bytes = vec![0, 1, 1, b'a', b'1', 1, 1, 1, b'b', b'2', 0, 0, 0, 0, 1, 0, 0, 0];
        let data = bytes.len() as u8;
        bytes.extend([0; TRAILER]);
        let index_at = bytes.len() as u8;
        bytes.extend([0, 1, 2, b'b', 0, data, 0, 0, 0, 0, 1, 0, 0, 0]);
        let index = bytes.len() as u8 - index_at;
        bytes.extend([0; TRAILER]);
        let footer_at = bytes.len();
        bytes.extend([0, 0, index_at, index]);
        bytes.resize(footer_at + 40, 0);
        bytes.extend(MAGIC.to_le_bytes());
        bytes
    }

    #[test]
    fn keys_share_their_beginnings() {
        let entries = read(&table().into()).unwrap();
        let found: Vec<(&[u8], &[u8])> =
            entries.iter().map(|(key, value)| (key.as_slice(), value.as_ref())).collect();
        assert_eq!(found, [(&b"a"[..], &b"1"[..]), (b"ab", b"2")]);
    }

    #[test]
    fn damage_is_an_error() {
        let whole = table();
        for cut in 0..whole.len() {
            assert!(read(&whole[..cut].to_vec().into()).is_err());
        }
        for position in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[position] ^= 1 << bit;
                let _ = read(&bytes.into());
            }
        }
        let mut compressed = whole;
        compressed[18] = 1;
        assert!(read(&compressed.into()).unwrap_err().contains("Snappy"));
    }
}
