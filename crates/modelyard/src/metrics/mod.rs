//! How good answers are. Pure: answers and truth in, numbers, tables and pictures out.
//!
//! | module | holds |
//! |---|---|
//! | [`classification`] | accuracy, top-k, precision, recall, F1, confusion, cross-entropy |
//! | [`regression`] | mean squared and absolute error, R² |
//! | [`text`] | both as tables |
//! | [`confusion`], [`curves`] | pictures: a heat map, and curves over epochs |

pub(crate) mod classification;
pub(crate) mod confusion;
pub(crate) mod curves;
pub(crate) mod regression;
pub(crate) mod text;

/// Why answers cannot be measured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MetricError {
    #[error("the answer to example {0} holds values that are no numbers (NaN)")]
    NotANumber(usize),
    #[error("expected {expected} numbers as the answer to each example, found {found} in all")]
    Length { expected: usize, found: usize },
    #[error("example {example} is of class {class}, but there are {classes} classes")]
    NoClass { example: usize, class: usize, classes: usize },
}
