//! Writes the golden file of the schema that is written now: `cargo run --example golden DIR`.
//! For a new schema version only; files of versions that were released never change.

#[path = "../tests/common/mod.rs"]
mod common;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use modelyard_tape::{Limits, Writer};

fn main() -> Result<(), modelyard_tape::TapeError> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "golden".into()));
    let limits =
        Limits { max_bytes: 1 << 30, file_bytes: 1 << 26, file_age: Duration::from_secs(1) };
    let mut writer = Writer::open(&folder, limits)?;
    for record in common::version_1() {
        // For the tests to compare with.
        println!("{}", common::text(&record));
        writer.add(record, Instant::now())?;
    }
    writer.close()
}
