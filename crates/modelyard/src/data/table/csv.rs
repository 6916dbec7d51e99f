//! CSV and TSV: the separator is what the first line has most of.

use ::csv::{ByteRecord, ReaderBuilder};
use anyhow::bail;

use super::super::bad::quoted;
use super::super::{DataSet, Options};
use super::{Builder, COLUMNS_MAX, Cell, Columns};

/// Reads a table. Without a header (a first line of numbers only), columns are named by number.
pub(in crate::data) fn read(content: &[u8], options: &Options) -> anyhow::Result<DataSet> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter(content))
        .has_headers(false)
        .flexible(true)
        .from_reader(content);
    let mut record = ByteRecord::new();
    if !reader.read_byte_record(&mut record)? {
        bail!("the table is empty: there is no header");
    }
    if record.len() > COLUMNS_MAX {
        bail!("the table has {} columns, more than {COLUMNS_MAX}", record.len());
    }
    let first: Vec<String> =
        record.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect();
    let is_header = first.iter().any(|name| matches!(Cell::parsed(name), Cell::Text(_)));
    let names = match is_header {
        true => first,
        false => (1..=first.len()).map(|number| number.to_string()).collect(),
    };
    let columns = Columns::choose(&names, options)?;
    let mut builder = Builder::new(columns, options.task);
    let mut again = is_header;
    loop {
        if again && !reader.read_byte_record(&mut record)? {
            return builder.finish(options);
        }
        again = true;
        add(&mut builder, &record, names.len())?;
    }
}

fn add(builder: &mut Builder, record: &ByteRecord, columns: usize) -> anyhow::Result<()> {
    let place = || match record.position() {
        Some(position) => format!("line {}", position.line()),
        None => "a line".to_owned(),
    };
    if record.len() != columns {
        let found = record.len();
        return builder.bad_row(place(), format!("expected {columns} columns, found {found}"));
    }
    if let Some(cell) = record.iter().find(|cell| std::str::from_utf8(cell).is_err()) {
        let text = quoted(&String::from_utf8_lossy(cell));
        return builder.bad_row(place(), format!("expected UTF-8 text, found {text}"));
    }
    let text = |position: usize| record.get(position).and_then(|cell| str::from_utf8(cell).ok());
    builder.row(place, |position| Cell::parsed(text(position).unwrap_or_default()))
}

/// Of comma, semicolon and tab, the one that the first line has most of.
fn delimiter(content: &[u8]) -> u8 {
    let line = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |delimiter: u8| line.iter().filter(|byte| **byte == delimiter).count();
    // The last of equals wins, and comma is last.
    [b';', b'\t', b','].into_iter().max_by_key(|&delimiter| count(delimiter)).unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{classes, floats, values};
    use super::super::super::{InputKind, Task, TaskKind};
    use super::*;
    use proptest::prelude::*;

    fn open(text: &str) -> anyhow::Result<DataSet> {
        read(text.as_bytes(), &Options::default())
    }

    fn labels(labels: &[&str]) -> Task {
        Task::Classification { labels: labels.iter().map(|&label| label.to_owned()).collect() }
    }

    #[test]
    fn numbers_are_features_and_text_is_the_class() {
        let data = open("a, b ,label\n1,2,x\n3,-4e1,\"w, q\"\n").unwrap();
        assert_eq!(data.inputs[0].name, "features");
        assert_eq!(data.inputs[0].kind, InputKind::Table(vec!["a".into(), "b".into()]));
        assert_eq!(floats(&*data.train), [1.0, 2.0, 3.0, -40.0]);
        assert_eq!(data.task, labels(&["w, q", "x"]));
        assert_eq!(classes(&*data.train), [1, 0]);
    }

    #[test]
    fn whole_numbers_are_classes_and_fractions_values() {
        let data = open("y\ta\n10\t1\n9\t2\n10\t3\n").unwrap();
        assert_eq!(data.task, labels(&["9", "10"]));
        let data = open("a;y\n1;0.5\n2;3\n").unwrap();
        assert_eq!(data.task, Task::Regression { width: 1 });
        assert_eq!(values(&*data.train), [0.5, 3.0]);
        let many: String = (0..101).map(|number| format!("1,{number}\n")).collect();
        assert_eq!(open(&format!("a,y\n{many}")).unwrap().task, Task::Regression { width: 1 });
        let options = Options { task: Some(TaskKind::Regression), ..Options::default() };
        let data = read(b"a,y\n1,0\n2,1\n", &options).unwrap();
        assert_eq!(values(&*data.train), [0.0, 1.0]);
    }

    #[test]
    fn a_table_without_a_header_is_told_by_its_numbers() {
        let data = open("1,2,0\n3,4,1\n").unwrap();
        assert_eq!(data.inputs[0].kind, InputKind::Table(vec!["1".into(), "2".into()]));
        assert_eq!((data.train.len(), floats(&*data.train).len()), (2, 4));
    }

    #[test]
    fn bad_rows_are_told_by_line_column_and_text() {
        let text = "a,b,y\n1,2,0\n1,oops,0\n,2,1\n1,2\n1,2,\n5,6,1\n";
        let error = open(text).err().unwrap().to_string();
        for expected in [
            "4 entries cannot be used",
            "line 3: column 'b': expected a number, found 'oops'",
            "line 4: column 'a': expected a number, found nothing",
            "line 5: expected 3 columns, found 2",
            "line 6: column 'y': expected a target, found nothing",
        ] {
            assert!(error.contains(expected), "{error}");
        }
        let options = Options { skip_bad: true, ..Options::default() };
        let data = read(text.as_bytes(), &options).unwrap();
        assert_eq!((data.train.len(), data.skipped.len()), (2, 4));
        assert_eq!(floats(&*data.train), [1.0, 2.0, 5.0, 6.0]);
    }

    #[test]
    fn a_column_of_text_is_to_be_left_out() {
        let error = open("name,a,y\nbob,1,0\neve,2,1\n").err().unwrap().to_string();
        assert!(error.contains("no numbers in column 'name'"), "{error}");
        assert!(error.contains("--ignore name"), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-c0-9,;\t\"\n.\u{e9}]{0,80}", skip_bad: bool) {
            let options = Options { skip_bad, ..Options::default() };
            if let Ok(data) = read(text.as_bytes(), &options) {
                let all: Vec<usize> = (0..data.train.len()).collect();
                prop_assert_eq!(data.train.load(&all).unwrap().len(), all.len());
            }
        }
    }
}
