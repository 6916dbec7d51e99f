//! What a tape's file looks like.
//!
//! The version goes up when a column is added, removed or means something else. Every version's
//! files stay readable: each has a golden file in `tests/golden`.

use std::sync::{Arc, LazyLock};

use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, Type};

/// The version of the schema that is written.
pub const VERSION: u32 = 1;
/// The key of the version in the file's metadata.
pub(crate) const VERSION_KEY: &str = "modelyard.tape.version";
/// What stands in `outcome` for a request that was answered.
pub(crate) const OK: &str = "ok";

/// Tensors are lists of structs; `data` is little-endian and row-major, strings as in the binary
/// form of the Open Inference Protocol.
const TEXT: &str = "
message modelyard_tape {
  required int64 time (TIMESTAMP(MICROS,true));
  required binary model (STRING);
  required int64 version (INTEGER(64,false));
  required binary request_id (STRING);
  required int64 rows (INTEGER(64,false));
  required int64 latency_us;
  optional int64 queue_us;
  optional int64 compute_us;
  required binary outcome (STRING);
  optional binary message (STRING);
  required group inputs (LIST) {
    repeated group list {
      required group element {
        required binary name (STRING);
        required binary datatype (STRING);
        required group shape (LIST) { repeated group list { required int64 element; } }
        required binary data;
      }
    }
  }
  required group outputs (LIST) {
    repeated group list {
      required group element {
        required binary name (STRING);
        required binary datatype (STRING);
        required group shape (LIST) { repeated group list { required int64 element; } }
        required binary data;
      }
    }
  }
}";

/// The schema of [`VERSION`].
pub(crate) static SCHEMA: LazyLock<Arc<Type>> =
    LazyLock::new(|| Arc::new(parse_message_type(TEXT).expect("a test parses it")));

/// How files are written: packed quickly, with the version, without statistics of tensors.
pub(crate) fn properties() -> WriterPropertiesPtr {
    let version = KeyValue::new(VERSION_KEY.to_owned(), VERSION.to_string());
    let level = ZstdLevel::try_new(1).unwrap_or_default();
    let mut builder = WriterProperties::builder()
        .set_created_by(concat!("modelyard ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(vec![version]))
        .set_compression(Compression::ZSTD(level));
    for side in ["inputs", "outputs"] {
        let path = [side, "list", "element", "data"].map(str::to_owned).to_vec();
        let data = ColumnPath::new(path);
        builder = builder
            .set_column_statistics_enabled(data.clone(), EnabledStatistics::None)
            .set_column_dictionary_enabled(data, false);
    }
    Arc::new(builder.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_one() {
        assert_eq!(SCHEMA.get_fields().len(), 12);
    }
}
