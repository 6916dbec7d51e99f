//! JSON without a document tree: numbers go straight into tensor buffers and straight out.
//!
//! | module | holds |
//! |---|---|
//! | `scan` | [`Scanner`]: a cursor over the text: punctuation, strings, skipping |
//! | `float`, `integer` | [`Number`]: one element from its text |
//! | `array` | `data` arrays, flat or nested, into typed buffers |
//! | `print` | typed buffers into text |
//!
//! The text is checked as strictly as RFC 8259 asks, with one exception in both directions:
//! the tokens `NaN`, `Infinity` and `-Infinity` stand for the floats that JSON has no number
//! for, as in TensorFlow Serving and in Python's `json`.

mod array;
mod digits;
mod float;
mod integer;
mod print;
mod scan;

pub(crate) use array::{Array, Bounds, array};
pub(crate) use integer::{Misfit, Number};
pub(crate) use print::{Unprintable, number, string, values};
pub(crate) use scan::{JsonError, Scanner};
