//! A tape: recorded requests in a folder of Parquet files that never grows past its bound.
//!
//! ```text
//! Record ─Writer::add→ row group ─full or old→ tape-….parquet ─Reader→ Record
//! ```
//!
//! A file that is being written has another name (`folder`) until it is whole and on disk, so a
//! reader never meets half of one. One process at a time writes to a folder; any number read.
//!
//! | module | holds |
//! |---|---|
//! | `record` | [`Record`]: one request and its answer |
//! | `schema` | what a file looks like, and its version |
//! | `columns` | records as the columns of a row group |
//! | `folder` | names, the lock, what is old and must go |
//! | `writer` | [`Writer`]: records in, files out |
//! | `reader` | [`Reader`]: the records of one file |
//! | `tape` | [`Tape`]: the files of a folder, or those that were named |
//! | `error` | [`TapeError`] |

mod columns;
mod error;
mod folder;
mod reader;
mod record;
mod schema;
mod tape;
mod writer;

pub use error::TapeError;
pub use reader::{Part, Reader};
pub use record::{Failure, NamedTensor, Record};
pub use schema::VERSION;
pub use tape::Tape;
pub use writer::{Figures, Limits, Writer};
