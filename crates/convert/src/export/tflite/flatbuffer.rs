//! FlatBuffers, written from a tree of tables: each table with what it refers to behind it, so that
//! all offsets lead forward.

use bytes::Bytes;

/// The most that offsets reach, and readers take.
pub(super) const MOST_BYTES: u64 = i32::MAX as u64;

/// A table: fields by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Table(Vec<(usize, Field)>);

/// What is in a field.
#[derive(Clone, Debug)]
enum Field {
    /// Little-endian bytes of a number: 1, 4 or 8 of them.
    Number(Vec<u8>),
    /// Something elsewhere.
    Object(Object),
}

/// Something that a field refers to.
#[derive(Clone, Debug)]
pub(super) enum Object {
    /// A table.
    Table(Table),
    /// A vector of tables.
    Tables(Vec<Table>),
    /// Text.
    Text(String),
    /// A vector of numbers of this many bytes, little-endian.
    Numbers(usize, Bytes),
    /// Bytes that begin at a multiple of 16.
    Aligned(Bytes),
}

impl Table {
    /// A table without fields.
    pub(super) fn new() -> Table {
        Table::default()
    }

    fn number(mut self, field: usize, bytes: &[u8]) -> Table {
        self.0.push((field, Field::Number(bytes.to_vec())));
        self
    }

    /// The same with a byte in a field.
    pub(super) fn byte(self, field: usize, value: i8) -> Table {
        self.number(field, &value.to_le_bytes())
    }

    /// The same with a boolean in a field.
    pub(super) fn bool(self, field: usize, value: bool) -> Table {
        self.byte(field, value.into())
    }

    /// The same with an integer of 32 bits in a field.
    pub(super) fn int(self, field: usize, value: i32) -> Table {
        self.number(field, &value.to_le_bytes())
    }

    /// The same with a float in a field.
    pub(super) fn float(self, field: usize, value: f32) -> Table {
        self.number(field, &value.to_le_bytes())
    }

    /// The same with something in a field.
    pub(super) fn object(mut self, field: usize, object: Object) -> Table {
        self.0.push((field, Field::Object(object)));
        self
    }

    /// The same with a text in a field.
    pub(super) fn text(self, field: usize, text: &str) -> Table {
        self.object(field, Object::Text(text.to_owned()))
    }

    /// The same with a list of integers in a field.
    pub(super) fn ints(self, field: usize, values: &[i32]) -> Table {
        self.object(field, numbers(values, |value| value.to_le_bytes()))
    }

    /// The same with a list of long integers in a field.
    pub(super) fn longs(self, field: usize, values: &[i64]) -> Table {
        self.object(field, numbers(values, |value| value.to_le_bytes()))
    }

    /// The same with a list of floats in a field.
    pub(super) fn floats(self, field: usize, values: &[f32]) -> Table {
        self.object(field, numbers(values, |value| value.to_le_bytes()))
    }

    /// The same with a list of tables in a field.
    pub(super) fn tables(self, field: usize, tables: Vec<Table>) -> Table {
        self.object(field, Object::Tables(tables))
    }
}

fn numbers<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Object {
    Object::Numbers(N, values.iter().flat_map(|&value| bytes(value)).collect::<Vec<u8>>().into())
}

/// The file whose root is `root`; `None` when it would be longer than offsets reach.
pub(super) fn write(root: &Table, identifier: [u8; 4]) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 4];
    bytes.extend(identifier);
    let mut writer = Writer { bytes };
    let at = writer.table(root)?;
    writer.point(0, at)?;
    Some(writer.bytes)
}

struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn align(&mut self, to: usize) {
        let len = self.bytes.len().next_multiple_of(to);
        self.bytes.resize(len, 0);
    }

    /// Writes at `place` how far it is to `target`.
    fn point(&mut self, place: usize, target: usize) -> Option<()> {
        let distance = u32::try_from(target.checked_sub(place)?).ok()?;
        let room = self.bytes.get_mut(place..place + 4)?;
        room.copy_from_slice(&distance.to_le_bytes());
        (self.bytes.len() as u64 <= MOST_BYTES).then_some(())
    }

    /// Writes a table and all behind it; gives where it is.
    fn table(&mut self, table: &Table) -> Option<usize> {
        let size = |field: &Field| match field {
            Field::Number(bytes) => bytes.len(),
            Field::Object(_) => 4,
        };
        // Large fields first, so that all are aligned.
        let mut order: Vec<usize> = (0..table.0.len()).collect();
        order.sort_by_key(|&index| std::cmp::Reverse(size(&table.0[index].1)));
        let count = table.0.iter().map(|(number, _)| number + 1).max().unwrap_or(0);
        let mut distances = vec![0u16; count];
        let first = if order.iter().any(|&index| size(&table.0[index].1) == 8) { 8 } else { 4 };
        let mut length = first;
        for &index in &order {
            let (number, field) = &table.0[index];
            distances[*number] = u16::try_from(length).ok()?;
            length += size(field);
        }
        let vtable = 4 + 2 * count;
        // The table begins where its largest field is aligned.
        while !(self.bytes.len() + vtable).is_multiple_of(8) {
            self.bytes.push(0);
        }
        self.bytes.extend(u16::try_from(vtable).ok()?.to_le_bytes());
        self.bytes.extend(u16::try_from(length).ok()?.to_le_bytes());
        self.bytes.extend(distances.iter().flat_map(|distance| distance.to_le_bytes()));
        let at = self.bytes.len();
        self.bytes.extend(i32::try_from(vtable).ok()?.to_le_bytes());
        self.bytes.resize(at + first, 0);
        let mut places = Vec::new();
        for &index in &order {
            match &table.0[index].1 {
                Field::Number(bytes) => self.bytes.extend(bytes),
                Field::Object(object) => {
                    places.push((self.bytes.len(), object));
                    self.bytes.extend([0; 4]);
                }
            }
        }
        for (place, object) in places {
            let target = self.object(object)?;
            self.point(place, target)?;
        }
        Some(at)
    }

    fn object(&mut self, object: &Object) -> Option<usize> {
        match object {
            Object::Table(table) => self.table(table),
            Object::Tables(tables) => {
                self.align(4);
                let at = self.bytes.len();
                self.bytes.extend(u32::try_from(tables.len()).ok()?.to_le_bytes());
                let first = self.bytes.len();
                self.bytes.resize(first + 4 * tables.len(), 0);
                for (index, table) in tables.iter().enumerate() {
                    let target = self.table(table)?;
                    self.point(first + 4 * index, target)?;
                }
                Some(at)
            }
            Object::Text(text) => {
                let at = self.vector(text.as_bytes(), text.len(), 4)?;
                self.bytes.push(0);
                Some(at)
            }
            Object::Numbers(size, bytes) => self.vector(bytes, bytes.len() / size, *size),
            Object::Aligned(bytes) => self.vector(bytes, bytes.len(), 16),
        }
    }

    /// Writes a vector whose elements begin at a multiple of `alignment`.
    fn vector(&mut self, bytes: &[u8], count: usize, alignment: usize) -> Option<usize> {
        let alignment = alignment.max(4);
        while !(self.bytes.len() + 4).is_multiple_of(alignment) {
            self.bytes.push(0);
        }
        let at = self.bytes.len();
        self.bytes.extend(u32::try_from(count).ok()?.to_le_bytes());
        self.bytes.extend(bytes);
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::input::Input;
    use super::super::super::super::tflite::flatbuffer::File;
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let inner = Table::new().float(0, 1.5).bool(3, true);
        let root = Table::new()
            .int(0, 3)
            .text(1, "name")
            .tables(2, vec![inner.clone(), Table::new()])
            .longs(4, &[-1, 7])
            .object(5, Object::Aligned(vec![1, 2, 3].into()))
            .ints(6, &[]);
        let bytes = write(&root, *b"TEST").unwrap();
        assert_eq!(&bytes[4..8], b"TEST");
        let input = Input::memory("test", bytes);
        let table = File::root(&input, "test", &crate::Limits::default()).unwrap();
        assert_eq!(
            (table.i32(0, 0).unwrap(), table.string(1).unwrap().unwrap()),
            (3, "name".into())
        );
        let tables = table.tables(2).unwrap();
        assert_eq!((tables[0].f32(0).unwrap(), tables[0].bool(3).unwrap()), (1.5, true));
        assert_eq!(tables[1].i32(0, 9).unwrap(), 9);
        assert_eq!(table.i64s(4).unwrap().unwrap(), [-1, 7]);
        let span = table.span(5, 1).unwrap().unwrap();
        assert_eq!((span.offset % 16, span.len), (0, 3));
        assert!(table.i32s(6).unwrap().unwrap().is_empty());
    }
}
